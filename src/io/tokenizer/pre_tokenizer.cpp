#include "io/tokenizer/pre_tokenizer.h"

#include <algorithm>
#include <utility>

#include "base/error.h"
#include "io/tokenizer/byte_alphabet.h"
#include "io/tokenizer/unicode_classes.h"

namespace paro::tokenizer {
namespace {

constexpr int kMaxDepth = 20;
constexpr std::string_view kWords = R"(\w+|[^\w\s]+)";

Behavior behavior_from(const std::string& name, const std::string& place) {
  if (name == "Removed") return Behavior::kRemoved;
  if (name == "Isolated") return Behavior::kIsolated;
  if (name == "MergedWithPrevious") return Behavior::kMergedWithPrevious;
  if (name == "MergedWithNext") return Behavior::kMergedWithNext;
  if (name == "Contiguous") return Behavior::kContiguous;
  fail_input(
      "{}: \"behavior\": expected Removed, Isolated, MergedWithPrevious, MergedWithNext or Contiguous, found \"{}\"",
      place, name);
}

// Forms the pieces of a split out of matches and what stands between them.
template <typename Emit>
class Pieces {
 public:
  Pieces(std::string_view text, Behavior behavior, bool invert, Emit& emit)
      : text_(text), behavior_(behavior), invert_(invert), emit_(emit) {}

  void match(size_t start, size_t end) {
    if (start > covered_) part(covered_, start, invert_);
    part(start, end, !invert_);
    covered_ = end;
  }
  void finish() {
    if (covered_ < text_.size()) part(covered_, text_.size(), invert_);
    flush();
  }

 private:
  void part(size_t start, size_t end, bool is_match) {
    switch (behavior_) {
      case Behavior::kIsolated: return emit(start, end);
      case Behavior::kRemoved:
        if (!is_match) emit(start, end);
        return;
      case Behavior::kContiguous:
        if (held_ && is_match == held_is_match_) {
          held_end_ = end;
          return;
        }
        break;
      case Behavior::kMergedWithPrevious:
        if (held_ && is_match && !held_is_match_) {
          held_end_ = end;
          held_is_match_ = true;
          return;
        }
        break;
      case Behavior::kMergedWithNext:
        if (held_ && !is_match && held_is_match_) {
          held_end_ = end;
          held_is_match_ = false;
          return;
        }
        break;
    }
    flush();
    held_ = true;
    held_start_ = start;
    held_end_ = end;
    held_is_match_ = is_match;
  }
  void flush() {
    if (held_) emit(held_start_, held_end_);
    held_ = false;
  }
  void emit(size_t start, size_t end) {
    if (end > start) emit_(start, end);
  }

  std::string_view text_;
  Behavior behavior_;
  bool invert_;
  Emit& emit_;
  size_t covered_ = 0;
  bool held_ = false;
  bool held_is_match_ = false;
  size_t held_start_ = 0;
  size_t held_end_ = 0;
};

}  // namespace

struct PreTokenizer::Step {
  enum Kind { kSplitter, kPattern, kCharClass, kByteLevel, kMetaspace } kind = kPattern;
  Behavior behavior = Behavior::kIsolated;
  bool invert = false;
  Splitter splitter = Splitter::kGpt2;
  Pattern pattern;
  int classes = 0;             // kCharClass: CharClass bits
  bool ascii_symbols = false;  // kCharClass: ASCII symbols too
  // kByteLevel
  bool add_prefix_space = false;
  bool use_regex = false;
  bool spell = false;  // turn bytes into their characters: needed where another step follows
  // kMetaspace
  enum Prepend { kNever, kFirst, kAlways } prepend = kNever;
  std::string replacement;
  bool cut = false;
};

PreTokenizer PreTokenizer::from_json(const Json& json, const std::string& place) {
  PreTokenizer result;
  if (json.is_null()) return result;
  result.add(json, place + ": pre_tokenizer", 0);
  auto& steps = result.steps_;
  size_t byte_levels = 0;
  for (const auto& step : steps) byte_levels += step->kind == Step::kByteLevel;
  if (byte_levels > 0) {
    result.byte_level_ = byte_levels == 1 && steps.back()->kind == Step::kByteLevel;
    for (auto& step : steps) {
      if (step->kind != Step::kByteLevel) continue;
      Step changed = *step;
      changed.spell = !result.byte_level_;
      step = std::make_shared<const Step>(changed);
    }
    // A ByteLevel that only spells bytes has nothing to do when words stay bytes.
    const Step& last = *steps.back();
    if (result.byte_level_ && !last.add_prefix_space && !last.use_regex) steps.pop_back();
  }
  return result;
}

void PreTokenizer::add_step(Step step) { steps_.push_back(std::make_shared<const Step>(std::move(step))); }

void PreTokenizer::add(const Json& json, const std::string& place, int depth) {
  if (depth > kMaxDepth) fail_input("{}: nested deeper than {} levels", place, kMaxDepth);
  const std::string type = type_of(json, place);
  const std::string inside = place + " " + type;
  Step step;
  if (type == "Sequence") {
    for (const Json& part : json_array(json, "pretokenizers", inside)) add(part, place, depth + 1);
    return;
  }
  if (type == "ByteLevel") {
    step.kind = Step::kByteLevel;
    step.add_prefix_space = json_bool(json, "add_prefix_space", true, inside);
    step.use_regex = json_bool(json, "use_regex", true, inside);
  } else if (type == "Split") {
    const auto pattern = json.find("pattern");
    if (pattern == json.end()) fail_input("{}: \"pattern\" is missing", inside);
    step.behavior = behavior_from(json_string(json, "behavior", inside), inside);
    step.invert = json_bool(json, "invert", false, inside);
    step.pattern = Pattern::from_json(*pattern, inside);
    if (const std::optional<Splitter> known = find_splitter(step.pattern.source())) {
      step.kind = Step::kSplitter;
      step.splitter = *known;
    }
  } else if (type == "Digits") {
    step.kind = Step::kCharClass;
    step.classes = kNumeric;
    step.behavior = json_bool(json, "individual_digits", false, inside) ? Behavior::kIsolated : Behavior::kContiguous;
  } else if (type == "Punctuation") {
    step.kind = Step::kCharClass;
    step.classes = kPunctuation;
    step.ascii_symbols = true;
    step.behavior = behavior_from(json_string(json, "behavior", "Isolated", inside), inside);
  } else if (type == "WhitespaceSplit") {
    step.kind = Step::kCharClass;
    step.classes = kSpace;
    step.behavior = Behavior::kRemoved;
  } else if (type == "BertPreTokenizer") {
    step.kind = Step::kCharClass;
    step.classes = kSpace;
    step.behavior = Behavior::kRemoved;
    add_step(step);
    step.classes = kPunctuation;
    step.ascii_symbols = true;
    step.behavior = Behavior::kIsolated;
  } else if (type == "Whitespace") {
    step.pattern = Pattern::from_json(Json{{"Regex", kWords}}, inside);
    step.invert = true;
    step.behavior = Behavior::kRemoved;
  } else if (type == "CharDelimiterSplit") {
    step.pattern = Pattern::from_json(Json{{"String", json_char(json, "delimiter", inside)}}, inside);
    step.behavior = Behavior::kRemoved;
  } else if (type == "Metaspace") {
    step.kind = Step::kMetaspace;
    step.replacement = json_char(json, "replacement", inside);
    const std::string scheme = json_string(json, "prepend_scheme", "always", inside);
    if (scheme != "always" && scheme != "first" && scheme != "never")
      fail_input("{}: \"prepend_scheme\": expected always, first or never, found \"{}\"", inside, scheme);
    step.prepend = scheme == "always" ? Step::kAlways : scheme == "first" ? Step::kFirst : Step::kNever;
    if (!json_bool(json, "add_prefix_space", true, inside)) step.prepend = Step::kNever;
    step.cut = json_bool(json, "split", true, inside);
  } else {
    fail_input("{}: the type \"{}\" is not supported", place, type);
  }
  add_step(std::move(step));
}

void PreTokenizer::run(std::string_view text, bool at_start, WordSink& sink) const {
  if (!text.empty()) run_from(0, text, at_start, sink);
}

void PreTokenizer::run_from(size_t index, std::string_view text, bool at_start, WordSink& sink) const {
  if (index == steps_.size()) return sink.word(text);
  const Step& step = *steps_[index];
  std::string changed;
  if (step.kind == Step::kByteLevel) {
    if (step.add_prefix_space && text.front() != ' ') {
      changed.append(" ").append(text);
      text = changed;
    }
    if (!step.use_regex && !step.spell) return run_from(index + 1, text, at_start, sink);
  } else if (step.kind == Step::kMetaspace) {
    const bool prepend = step.prepend == Step::kAlways || (step.prepend == Step::kFirst && at_start);
    if (prepend && text.front() != ' ' && !text.starts_with(step.replacement)) changed = step.replacement;
    for (size_t at = 0; at < text.size();) {
      const size_t space = std::min(text.find(' ', at), text.size());
      changed.append(text, at, space - at);
      if (space < text.size()) changed += step.replacement;
      at = space + 1;
    }
    text = changed;
    if (!step.cut) return run_from(index + 1, text, at_start, sink);
  }
  split(index, text, at_start, sink);
}

void PreTokenizer::split(size_t index, std::string_view text, bool at_start, WordSink& sink) const {
  const Step& step = *steps_[index];
  const bool last = index + 1 == steps_.size();
  auto emit = [&](size_t start, size_t end) {
    const std::string_view piece = text.substr(start, end - start);
    if (step.spell) return run_from(index + 1, ByteAlphabet::get().spell(piece), at_start && start == 0, sink);
    if (last) return sink.word(piece);
    run_from(index + 1, piece, at_start && start == 0, sink);
  };
  const char* const begin = text.data();
  const char* const end = begin + text.size();
  const auto cut_with = [&](Splitter splitter, Behavior behavior, bool invert) {
    if (splitter != Splitter::kDeepSeek && splitter != Splitter::kDigitsThree && splitter != Splitter::kHanAndKana &&
        (behavior == Behavior::kIsolated || (behavior == Behavior::kRemoved && invert))) {
      // These splitters leave no gap: every match is a piece.
      split_with(splitter, begin, end, [&](const char* from, const char* to) {
        emit(static_cast<size_t>(from - begin), static_cast<size_t>(to - begin));
      });
      return;
    }
    Pieces pieces(text, behavior, invert, emit);
    split_with(splitter, begin, end, [&](const char* from, const char* to) {
      pieces.match(static_cast<size_t>(from - begin), static_cast<size_t>(to - begin));
    });
    pieces.finish();
  };
  switch (step.kind) {
    case Step::kSplitter: return cut_with(step.splitter, step.behavior, step.invert);
    case Step::kByteLevel:
      if (step.use_regex) return cut_with(Splitter::kGpt2, Behavior::kIsolated, false);
      return emit(0, text.size());
    case Step::kPattern: {
      Pieces pieces(text, step.behavior, step.invert, emit);
      step.pattern.find(text, [&](size_t from, size_t to) { pieces.match(from, to); });
      return pieces.finish();
    }
    case Step::kCharClass: {
      Pieces pieces(text, step.behavior, step.invert, emit);
      const splitters::Scanner scan;
      for (const char* p = begin; p < end;) {
        const splitters::Scanner::Char c = scan.read(p);
        const bool ascii = static_cast<signed char>(*p) >= 0;
        if ((c.bits & step.classes) || (step.ascii_symbols && ascii && (c.bits & kSymbol)))
          pieces.match(static_cast<size_t>(p - begin), static_cast<size_t>(c.next - begin));
        p = c.next;
      }
      return pieces.finish();
    }
    case Step::kMetaspace: {
      Pieces pieces(text, Behavior::kMergedWithNext, false, emit);
      const std::string& mark = step.replacement;
      for (size_t at = text.find(mark); at != text.npos; at = text.find(mark, at + mark.size()))
        pieces.match(at, at + mark.size());
      return pieces.finish();
    }
  }
}

}  // namespace paro::tokenizer
