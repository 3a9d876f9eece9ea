#include "io/tokenizer/decoder.h"

#include <charconv>
#include <optional>

#include "base/error.h"
#include "io/tokenizer/byte_alphabet.h"
#include "io/tokenizer/utf8.h"

namespace paro::tokenizer {
namespace {

constexpr int kMaxDepth = 20;
constexpr int64_t kMaxStrip = 1 << 20;
constexpr std::string_view kReplacement = "\xEF\xBF\xBD";

// The byte that a token like <0x0A> stands for; -1 for other tokens.
int byte_of(std::string_view token) {
  if (token.size() != 6 || !token.starts_with("<0x") || token.back() != '>') return -1;
  int value = -1;
  // Like Rust's from_str_radix, which also takes a sign.
  const char* from = token.data() + 3;
  if (*from == '+') ++from;
  const auto parsed = std::from_chars(from, token.data() + 5, value, 16);
  return parsed.ec == std::errc() && parsed.ptr == token.data() + 5 && value >= 0 ? value : -1;
}

int64_t count_front(std::string_view text, std::string_view what, int64_t most) {
  int64_t count = 0;
  while (count < most && text.substr(static_cast<size_t>(count) * what.size()).starts_with(what)) ++count;
  return count;
}

int64_t count_back(std::string_view text, std::string_view what, int64_t most) {
  int64_t count = 0;
  while (count < most && text.substr(0, text.size() - static_cast<size_t>(count) * what.size()).ends_with(what))
    ++count;
  return count;
}

}  // namespace

Decoder Decoder::from_json(const Json& json, const std::string& place) {
  Decoder decoder;
  if (json.is_null()) {
    decoder.join_by_spaces_ = true;
    return decoder;
  }
  decoder.add(json, place + ": decoder", 0);
  bool fused = false;
  for (Step& step : decoder.steps_) {
    step.fused = fused;
    fused = fused || step.kind == Kind::kFuse || step.kind == Kind::kByteLevel;
  }
  return decoder;
}

bool Decoder::only_byte_level() const { return steps_.size() == 1 && steps_[0].kind == Kind::kByteLevel; }

void Decoder::add(const Json& json, const std::string& place, int depth) {
  if (depth > kMaxDepth) fail_input("{}: nested deeper than {} levels", place, kMaxDepth);
  const std::string type = type_of(json, place);
  const std::string inside = place + " " + type;
  Step step;
  if (type == "Sequence") {
    for (const Json& part : json_array(json, "decoders", inside)) add(part, place, depth + 1);
    return;
  }
  if (type == "ByteLevel") {
    step.kind = Kind::kByteLevel;
  } else if (type == "ByteFallback") {
    step.kind = Kind::kByteFallback;
  } else if (type == "Fuse") {
    step.kind = Kind::kFuse;
  } else if (type == "Replace") {
    step.kind = Kind::kReplace;
    const auto pattern = json.find("pattern");
    if (pattern == json.end()) fail_input("{}: \"pattern\" is missing", inside);
    step.pattern = Pattern::from_json(*pattern, inside);
    step.content = json_string(json, "content", inside);
  } else if (type == "Strip") {
    step.kind = Kind::kStrip;
    step.content = json_char(json, "content", inside);
    step.start = json_int(json, "start", 0, inside);
    step.stop = json_int(json, "stop", 0, inside);
    if (step.start < 0 || step.stop < 0 || step.start > kMaxStrip || step.stop > kMaxStrip)
      fail_input("{}: \"start\" and \"stop\": expected 0 to {}, found {} and {}", inside, kMaxStrip, step.start,
                 step.stop);
  } else if (type == "Metaspace") {
    step.kind = Kind::kMetaspace;
    step.content = json_char(json, "replacement", inside);
    step.drop_first = json_string(json, "prepend_scheme", "always", inside) != "never" &&
                      json_bool(json, "add_prefix_space", true, inside);
  } else {
    fail_input("{}: the type \"{}\" is not supported", place, type);
  }
  steps_.push_back(std::move(step));
}

// What a step makes of one token, for the steps that look at each alone.
std::string Decoder::whole(const Step& step, std::string_view token, bool first) {
  switch (step.kind) {
    case Kind::kReplace: return step.pattern.replace(token, step.content);
    case Kind::kMetaspace: {
      std::string out;
      size_t copied = 0;
      for (size_t at = token.find(step.content); at != token.npos; at = token.find(step.content, copied)) {
        out.append(token, copied, at - copied);
        if (!(first && step.drop_first)) out += ' ';
        copied = at + step.content.size();
      }
      return out.append(token, copied);
    }
    case Kind::kStrip: {
      const int64_t front = count_front(token, step.content, step.start);
      token.remove_prefix(static_cast<size_t>(front) * step.content.size());
      const int64_t back = count_back(token, step.content, step.stop);
      token.remove_suffix(static_cast<size_t>(back) * step.content.size());
      return std::string(token);
    }
    case Kind::kByteFallback: {
      const int byte = byte_of(token);
      if (byte < 0) return std::string(token);
      return byte < 0x80 ? std::string(1, static_cast<char>(byte)) : std::string(kReplacement);
    }
    case Kind::kByteLevel: {
      std::string out;
      append_repaired(ByteAlphabet::get().bytes(token).value_or(std::string(token)), false, out);
      return out;
    }
    case Kind::kFuse: break;
  }
  return std::string(token);
}

Decoder::Stream::Stream(const Decoder& decoder) : decoder_(decoder), states_(decoder.steps_.size()) {}

void Decoder::Stream::push(std::string_view token, std::string& out) {
  if (decoder_.join_by_spaces_ && any_) out += ' ';
  any_ = true;
  feed(0, token, out);
}

void Decoder::Stream::finish(std::string& out) { flush(0, out); }

void Decoder::Stream::feed(size_t index, std::string_view token, std::string& out) {
  if (index == decoder_.steps_.size()) {
    out += token;
    return;
  }
  const Step& step = decoder_.steps_[index];
  StepState& state = states_[index];
  if (step.fused) {
    // What comes in are parts of one token; a step that must see all of it holds them until the end.
    if (step.kind == Kind::kFuse) return feed(index + 1, token, out);
    if (step.kind == Kind::kStrip) return feed_fused_strip(index, token, out);
    state.held += token;
    return;
  }
  switch (step.kind) {
    case Kind::kFuse: return feed(index + 1, token, out);
    case Kind::kByteLevel: {
      const std::optional<std::string> bytes = ByteAlphabet::get().bytes(token);
      state.held += bytes ? std::string_view(*bytes) : token;
      std::string text;
      state.held.erase(0, append_repaired(state.held, true, text));
      if (!text.empty()) feed(index + 1, text, out);
      return;
    }
    case Kind::kByteFallback: {
      // A run of bytes is text only if all of it is: it must be complete before anything of it is known.
      const int byte = byte_of(token);
      if (byte >= 0) {
        state.held += static_cast<char>(byte);
        return;
      }
      flush_bytes(index, out);
      return feed(index + 1, token, out);
    }
    default: return feed(index + 1, whole(step, token, state.count++ == 0), out);
  }
}

void Decoder::Stream::flush_bytes(size_t index, std::string& out) {
  std::string bytes = std::move(states_[index].held);
  states_[index].held.clear();
  if (bytes.empty()) return;
  if (is_valid_utf8(bytes)) return feed(index + 1, bytes, out);
  for (size_t i = 0; i < bytes.size(); ++i) feed(index + 1, kReplacement, out);
}

// Strip over one token that comes in parts: the first characters are counted, as many last ones as it may take away
// are held back.
void Decoder::Stream::feed_fused_strip(size_t index, std::string_view text, std::string& out) {
  const Step& step = decoder_.steps_[index];
  StepState& state = states_[index];
  if (!state.any) {
    const int64_t front = count_front(text, step.content, step.start - state.count);
    state.count += front;
    text.remove_prefix(static_cast<size_t>(front) * step.content.size());
    if (text.empty()) return;
    state.any = true;
  }
  state.held += text;
  const int64_t back = count_back(state.held, step.content, step.stop);
  const size_t keep = static_cast<size_t>(back) * step.content.size();
  const std::string ready = state.held.substr(0, state.held.size() - keep);
  state.held.erase(0, ready.size());
  if (!ready.empty()) feed(index + 1, ready, out);
}

void Decoder::Stream::flush(size_t index, std::string& out) {
  if (index == decoder_.steps_.size()) return;
  const Step& step = decoder_.steps_[index];
  StepState& state = states_[index];
  if (step.fused && step.kind != Kind::kFuse && step.kind != Kind::kStrip) {
    feed(index + 1, whole(step, state.held, true), out);
  } else if (step.kind == Kind::kByteFallback) {
    flush_bytes(index, out);
  } else if (step.kind == Kind::kByteLevel) {
    std::string text;
    append_repaired(state.held, false, text);
    if (!text.empty()) feed(index + 1, text, out);
  }
  flush(index + 1, out);
}

}  // namespace paro::tokenizer
