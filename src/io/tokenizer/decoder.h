// The decoders of tokenizer.json: tokens back to text, piece by piece. Decoding a whole list is the same code.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "io/tokenizer/normalizer.h"

namespace paro::tokenizer {

class Decoder {
 public:
  /// `json` is the "decoder" of tokenizer.json or null (tokens are then joined by spaces). Throws Error{kInput}.
  static Decoder from_json(const Json& json, const std::string& place);

  /// True when the only step is ByteLevel; text is then the bytes of the tokens, repaired.
  bool only_byte_level() const;

  /// Decoding in progress. `decoder` must outlive it.
  class Stream {
   public:
    explicit Stream(const Decoder& decoder);
    /// Appends to `out` the text that this token completes.
    void push(std::string_view token, std::string& out);
    /// The rest.
    void finish(std::string& out);

   private:
    struct StepState {
      std::string held;
      int64_t count = 0;  // tokens or characters seen
      bool any = false;
    };
    void feed(size_t step, std::string_view token, std::string& out);
    void flush(size_t step, std::string& out);
    void flush_bytes(size_t step, std::string& out);
    void feed_fused_strip(size_t step, std::string_view text, std::string& out);

    const Decoder& decoder_;
    std::vector<StepState> states_;
    bool any_ = false;
  };

 private:
  enum class Kind { kByteLevel, kReplace, kByteFallback, kFuse, kStrip, kMetaspace };
  struct Step {
    Kind kind = Kind::kFuse;
    bool fused = false;           // it comes after a step that makes one token of all
    Pattern pattern;              // kReplace
    std::string content;          // what kReplace writes, what kStrip takes away, what kMetaspace turns into spaces
    int64_t start = 0, stop = 0;  // kStrip: how many at most
    bool drop_first = false;      // kMetaspace
  };
  void add(const Json& json, const std::string& place, int depth);
  static std::string whole(const Step& step, std::string_view token, bool first);

  std::vector<Step> steps_;
  bool join_by_spaces_ = false;
};

}  // namespace paro::tokenizer
