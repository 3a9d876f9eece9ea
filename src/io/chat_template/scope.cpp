#include "io/chat_template/scope.h"

#include <map>
#include <memory>
#include <optional>
#include <set>

#include "base/error.h"
#include "io/chat_template/lexer.h"
#include "io/chat_template/walk.h"

namespace paro::jinja {
namespace {

struct FunctionState {
  Function* function;
  int depth;
};

struct Place {
  int depth = 0;  // of the function
  int index = -1;
};

/// jinja2's Symbols. A branch of an if is a layer over `base`, so that it costs what it adds.
struct Symbols {
  const Symbols* parent = nullptr;
  const Symbols* base = nullptr;
  FunctionState function;
  std::shared_ptr<std::map<std::string, int>> slots;  // of this scope, shared by the copies for branches
  std::map<std::string, Place> refs;
  std::map<int, ScopeLoad> loads;
  std::set<std::string> stores;

  Symbols(const Symbols* outer, FunctionState in)
      : parent(outer), function(in), slots(std::make_shared<std::map<std::string, int>>()) {}

  Symbols branch() const {
    Symbols out(parent, function);
    out.slots = slots;
    out.base = this;
    return out;
  }

  std::optional<Place> find_here(const std::string& name) const {
    for (const Symbols* layer = this; layer != nullptr; layer = layer->base) {
      if (auto found = layer->refs.find(name); found != layer->refs.end()) return found->second;
    }
    return std::nullopt;
  }

  std::optional<Place> find(const std::string& name) const {
    for (const Symbols* at = this; at != nullptr; at = at->parent) {
      if (std::optional<Place> found = at->find_here(name)) return found;
    }
    return std::nullopt;
  }

  bool stored(const std::string& name) const {
    for (const Symbols* layer = this; layer != nullptr; layer = layer->base) {
      if (layer->stores.count(name) != 0) return true;
    }
    return false;
  }

  Slot slot_of(Place place) const { return {function.depth - place.depth, place.index}; }

  Place define(const std::string& name, ScopeLoad load) {
    auto [entry, added] = slots->try_emplace(name, function.function->slots);
    if (added) ++function.function->slots;
    load.slot = entry->second;
    loads[entry->second] = load;
    return refs[name] = {function.depth, entry->second};
  }

  void load(const std::string& name) {
    if (!find(name)) define(name, {.kind = ScopeLoad::kResolve, .name = name});
  }

  void store(const std::string& name) {
    stores.insert(name);
    if (find_here(name)) return;
    std::optional<Place> outer = parent != nullptr ? parent->find(name) : std::nullopt;
    if (outer) {
      define(name, {.kind = ScopeLoad::kAlias, .from = slot_of(*outer)});
    } else {
      define(name, {.kind = ScopeLoad::kUnset});
    }
  }

  Place declare(const std::string& name) {
    stores.insert(name);
    return define(name, {.kind = ScopeLoad::kParameter});
  }

  void merge(std::initializer_list<const Symbols*> layers) {
    std::set<std::string> added;
    for (const Symbols* layer : layers) {
      for (const std::string& name : layer->stores) {
        if (!stored(name)) added.insert(name);
      }
    }
    for (const Symbols* layer : layers) {
      for (const auto& [name, place] : layer->refs) refs[name] = place;
      for (const auto& [index, entry] : layer->loads) loads[index] = entry;
      stores.insert(layer->stores.begin(), layer->stores.end());
    }
    for (const std::string& name : added) {
      int index = find(name)->index;
      std::optional<Place> outer = parent != nullptr ? parent->find(name) : std::nullopt;
      if (outer) {
        loads[index] = {.kind = ScopeLoad::kAlias, .slot = index, .from = slot_of(*outer)};
      } else {
        loads[index] = {.kind = ScopeLoad::kResolve, .slot = index, .name = name};
      }
    }
  }

  Scope scope() const {
    Scope out;
    for (const auto& [index, entry] : loads) {
      if (entry.kind != ScopeLoad::kParameter) out.push_back(entry);
    }
    return out;
  }
};

/// Finds what a scope loads and stores (jinja2's FrameSymbolVisitor); inner scopes are looked at later.
class Analysis {
 public:
  static void expr(Symbols& symbols, const Expr& node, bool parameter = false) {
    if (node.kind == ExprKind::kName) {
      if (parameter) {
        symbols.declare(node.text);
      } else if (node.store) {
        symbols.store(node.text);
      } else {
        symbols.load(node.text);
      }
    }
    for_each_part(node, [&](const Expr& part) { expr(symbols, part, parameter); });
  }
  static void expr(Symbols& symbols, const ExprPtr& node, bool parameter = false) {
    if (node) expr(symbols, *node, parameter);
  }
  static void body(Symbols& symbols, const std::vector<StmtPtr>& statements) {
    for (const StmtPtr& statement : statements) stmt(symbols, *statement);
  }

  static void stmt(Symbols& symbols, const Stmt& node) {
    switch (node.kind) {
      case StmtKind::kOutput:
        for (const ExprPtr& item : node.items) expr(symbols, item);
        break;
      case StmtKind::kIf: branches(symbols, node); break;
      case StmtKind::kSet:
        expr(symbols, node.value);
        expr(symbols, node.target);
        break;
      case StmtKind::kFor:
      case StmtKind::kCallBlock:
      case StmtKind::kFilterBlock: expr(symbols, node.value); break;
      case StmtKind::kSetBlock: expr(symbols, node.target); break;
      case StmtKind::kMacro: symbols.store(node.text); break;
      case StmtKind::kWith:
        for (const ExprPtr& value : node.defaults) expr(symbols, value);
        break;
      default: break;
    }
  }

 private:
  static void branches(Symbols& symbols, const Stmt& node) {
    expr(symbols, node.branches[0].test);
    Symbols first = symbols.branch(), middle = symbols.branch(), last = symbols.branch();
    body(first, node.branches[0].body);
    for (size_t i = 1; i < node.branches.size(); ++i) {
      const Branch& branch = node.branches[i];
      if (!branch.test) {
        body(last, branch.body);
        continue;
      }
      expr(middle, branch.test);
      Symbols inner = middle.branch();
      body(inner, branch.body);
      middle.merge({&inner});
    }
    symbols.merge({&first, &middle, &last});
  }
};

/// Walks the statements with the finished symbols of each scope (jinja2's CodeGenerator).
class Resolver {
 public:
  explicit Resolver(const std::string& place) : place_(place) {}

  void run(Template& tree) {
    Symbols symbols(nullptr, {&tree.function, 0});
    Analysis::body(symbols, tree.body);
    tree.scope = symbols.scope();
    body(symbols, tree.body, {});
  }

 private:
  struct Where {
    bool soft = false;  // inside of a condition: unknown filters fail only when they are reached
    int loops = 0;
  };

  void expr(const Symbols& symbols, Expr& node, bool soft) {
    if (node.kind == ExprKind::kName) node.slot = symbols.slot_of(*symbols.find(node.text));
    if ((node.kind == ExprKind::kFilter || node.kind == ExprKind::kTest) && node.builtin == nullptr && !soft) {
      fail_template(place_, node.line,
                    fmt::format("no {} named '{}'", node.kind == ExprKind::kFilter ? "filter" : "test", node.text));
    }
    bool inner = soft || node.kind == ExprKind::kCondition;
    for_each_part(node, [&](const Expr& part) { expr(symbols, const_cast<Expr&>(part), inner); });
  }
  void expr(const Symbols& symbols, const ExprPtr& node, bool soft) {
    if (node) expr(symbols, *node, soft);
  }
  void body(const Symbols& symbols, const std::vector<StmtPtr>& statements, Where where) {
    for (const StmtPtr& statement : statements) stmt(symbols, *statement, where);
  }

  void stmt(const Symbols& symbols, Stmt& node, Where where) {
    switch (node.kind) {
      case StmtKind::kOutput:
        for (const ExprPtr& item : node.items) expr(symbols, item, where.soft);
        break;
      case StmtKind::kIf:
        for (Branch& branch : node.branches) {
          expr(symbols, branch.test, true);
          body(symbols, branch.body, {true, where.loops});
        }
        break;
      case StmtKind::kSet:
        expr(symbols, node.value, where.soft);
        expr(symbols, node.target, where.soft);
        break;
      case StmtKind::kFor: loop(symbols, node, where); break;
      case StmtKind::kMacro:
        macro(symbols, node);
        node.name_slot = symbols.slot_of(*symbols.find(node.text));
        break;
      case StmtKind::kCallBlock:
        macro(symbols, node);
        expr(symbols, node.value, where.soft);
        break;
      case StmtKind::kSetBlock:
      case StmtKind::kFilterBlock:
      case StmtKind::kWith:
      case StmtKind::kScope: block(symbols, node, where); break;
      case StmtKind::kBreak:
      case StmtKind::kContinue:
        if (where.loops == 0) fail_template(place_, node.line, "'break' or 'continue' outside of a loop");
        break;
      default: break;
    }
  }

  void block(const Symbols& symbols, Stmt& node, Where where) {
    Symbols inner(&symbols, symbols.function);
    for (const ExprPtr& target : node.items) Analysis::expr(inner, target, true);
    Analysis::body(inner, node.body);
    if (node.kind != StmtKind::kWith && node.value) Analysis::expr(inner, node.value);
    node.scope = inner.scope();
    for (const ExprPtr& value : node.defaults) expr(symbols, value, where.soft);
    for (const ExprPtr& target : node.items) expr(inner, target, false);
    if (node.target) expr(symbols, node.target, false);
    expr(inner, node.value, false);
    body(inner, node.body, {false, node.kind == StmtKind::kScope ? 0 : where.loops});
  }

  void loop(const Symbols& symbols, Stmt& node, Where where) {
    expr(symbols, node.value, where.soft);
    if (stores_name(node, "loop"))
      fail_template(place_, node.line, "can't assign to the special variable loop in a loop");
    node.uses_loop = node.recursive || !find_undeclared(node.body, {"loop"}).empty();
    FunctionState function = symbols.function;
    if (node.recursive) function = {&node.function, symbols.function.depth + 1};

    Symbols inner(&symbols, function), otherwise(&symbols, function), test(&symbols, function);
    if (node.uses_loop) node.name_slot = inner.slot_of(inner.declare("loop"));
    Analysis::expr(inner, node.target, true);
    Analysis::body(inner, node.body);
    Analysis::body(otherwise, node.otherwise);
    if (node.test) {
      node.test_target = clone_target(*node.target);
      Analysis::expr(test, node.test_target, true);
      Analysis::expr(test, node.test);
      expr(test, node.test_target, false);
      expr(test, node.test, false);
      node.test_scope = test.scope();
    }
    node.scope = inner.scope();
    node.else_scope = otherwise.scope();
    expr(inner, node.target, false);
    body(inner, node.body, {false, (node.recursive ? 0 : where.loops) + 1});
    body(otherwise, node.otherwise, {false, node.recursive ? 0 : where.loops});
  }

  void macro(const Symbols& symbols, Stmt& node) {
    Symbols inner(&symbols, {&node.function, symbols.function.depth + 1});
    std::vector<Place> places;
    for (const std::string& name : node.names) places.push_back(inner.declare(name));
    for (const ExprPtr& value : node.defaults) Analysis::expr(inner, value);
    Analysis::body(inner, node.body);
    for (Place place : places) node.parameters.push_back(inner.slot_of(place));

    std::set<std::string> special = find_undeclared(node.body, {"caller", "kwargs", "varargs"});
    std::set<std::string> names(node.names.begin(), node.names.end());
    if (names.size() != node.names.size()) fail_template(place_, node.line, "duplicate parameter of a macro");
    node.uses_caller = special.count("caller") != 0;
    node.uses_kwargs = special.count("kwargs") != 0 && names.count("kwargs") == 0;
    node.uses_varargs = special.count("varargs") != 0 && names.count("varargs") == 0;
    if (node.uses_caller) {
      for (size_t i = 0; i < node.names.size(); ++i) {
        if (node.names[i] == "caller" && i + node.defaults.size() < node.names.size()) {
          fail_template(place_, node.line, "the parameter 'caller' of a macro needs a default");
        }
      }
      if (names.count("caller") == 0) node.caller = inner.slot_of(inner.declare("caller"));
    }
    if (node.uses_kwargs) node.kwargs = inner.slot_of(inner.declare("kwargs"));
    if (node.uses_varargs) node.varargs = inner.slot_of(inner.declare("varargs"));
    node.scope = inner.scope();
    for (const ExprPtr& value : node.defaults) expr(inner, value, false);
    body(inner, node.body, {});
  }

  const std::string& place_;
};

}  // namespace

void resolve_names(Template& tree, const std::string& place) { Resolver(place).run(tree); }

}  // namespace paro::jinja
