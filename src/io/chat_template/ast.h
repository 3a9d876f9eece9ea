// The parsed template. Names are resolved to slots (scope.h) before it is rendered; nothing in it changes afterwards.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "io/chat_template/value.h"

namespace paro::jinja {

struct Expr;
struct Stmt;
using ExprPtr = std::unique_ptr<Expr>;
using StmtPtr = std::unique_ptr<Stmt>;

/// A variable's place: `hops` functions outwards, then the slot of that function's activation.
struct Slot {
  int hops = 0;
  int index = -1;
};

enum class ExprKind : uint8_t {
  kConst,
  kName,          // load, or store as a target
  kNamespaceRef,  // name.attribute as a target of set
  kTuple,
  kList,
  kDict,  // items: key, value, key, value, ...
  kNegate,
  kPlus,
  kNot,
  kAdd,
  kSubtract,
  kMultiply,
  kDivide,
  kFloorDivide,
  kModulo,
  kPower,
  kAnd,
  kOr,
  kConcat,
  kCompare,    // items: first, then one operand for each of `operators`
  kAttribute,  // items[0].text
  kItem,       // items[0][items[1]]
  kSlice,      // items[0][items[1]:items[2]:items[3]], parts may be null
  kCondition,  // items: test, then, else (may be null)
  kCall,       // items[0](arguments)
  kFilter,     // items[0] | text(arguments); items[0] null: the text of a block
  kTest,       // items[0] is text(arguments)
};

enum class Compare : uint8_t { kEqual, kNotEqual, kLess, kLessEqual, kGreater, kGreaterEqual, kIn, kNotIn };

struct Arguments {
  std::vector<ExprPtr> positional;
  std::vector<std::pair<std::string, ExprPtr>> keywords;
  ExprPtr star, double_star;
};

struct Expr {
  ExprKind kind = ExprKind::kConst;
  int line = 0;
  int height = 1;
  bool store = false;  // kName as a target
  Slot slot;
  std::unique_ptr<StringObject> text_owner;  // keeps a constant string; outlives `constant`
  Value constant;
  std::string text;  // name, attribute, filter
  std::vector<ExprPtr> items;
  std::vector<Compare> operators;
  Arguments arguments;
  Builtin builtin = nullptr;  // filter or test; null: unknown, which fails when it is reached
};

enum class StmtKind : uint8_t {
  kText,
  kOutput,
  kIf,
  kFor,
  kSet,
  kSetBlock,
  kMacro,
  kCallBlock,
  kFilterBlock,
  kWith,
  kScope,  // block, generation
  kBreak,
  kContinue,
  kUnsupported,  // include, import, extends: fail when reached
};

/// What happens to the slots of a scope when it is entered.
struct ScopeLoad {
  enum Kind : uint8_t { kParameter, kResolve, kAlias, kUnset } kind = kUnset;
  int slot = -1;
  Slot from;         // kAlias
  std::string name;  // kResolve: a variable of the context or a global
};
using Scope = std::vector<ScopeLoad>;

/// A piece of template that runs in an activation of its own: the root, a macro, a call block, a recursive loop.
struct Function {
  int slots = 0;
};

struct Branch {
  ExprPtr test;  // null: else
  std::vector<StmtPtr> body;
};

struct Stmt {
  StmtKind kind = StmtKind::kText;
  int line = 0;
  std::string text;                // template text, macro name
  ExprPtr target;                  // for, set
  ExprPtr value;                   // iterable, value, call, filter
  ExprPtr test;                    // for ... if
  std::vector<ExprPtr> items;      // output; with: targets
  std::vector<ExprPtr> defaults;   // macro: of its last parameters; with: values
  std::vector<std::string> names;  // macro parameters
  std::vector<Slot> parameters;    // their slots
  std::vector<Branch> branches;    // if
  std::vector<StmtPtr> body, otherwise;
  Scope scope, else_scope, test_scope;
  ExprPtr test_target;  // for ... if: the target in the scope of the test
  Slot name_slot;       // macro: where it is stored; for: the variable loop
  bool recursive = false, uses_loop = false;
  bool uses_caller = false, uses_kwargs = false, uses_varargs = false;
  Slot caller, kwargs, varargs;
  Function function;  // macro, call block, recursive loop
};

struct Template {
  std::vector<StmtPtr> body;
  Scope scope;
  Function function;
};

}  // namespace paro::jinja
