// What the tests of quantizing share: a tiny model, a text, options for it, its divergence after.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/files.h"
#include "base/log.h"
#include "calib/numeric/random.h"
#include "calib/quantize.h"
#include "runtime/evaluate.h"
#include "tiny_model.h"

namespace paro::calib {

/// Seeded words: enough structure that the inputs of linears correlate.
inline std::string words(int64_t count, uint64_t seed) {
  const char* const list[] = {"the ",   "river ", "and ",    "a ",  "stone ", "turns ", "under ", "light ", "of ",
                              "seven ", "old ",   "doors. ", "It ", "was ",   "never ", "said, ", "but ",   "then\n"};
  Random random(seed);
  std::string text;
  for (int64_t i = 0; i < count; ++i) text += list[random.below(std::ssize(list))];
  return text;
}

class QuantizeTest : public testing::Test {
 protected:
  QuantizeTest() : level_(log_level()) {
    set_log_level(LogLevel::kQuiet);
    write_tiny_model(folder_ / "source", {.layers = 3});
    write_file(folder_ / "text.txt", words(1500, 1));
  }
  ~QuantizeTest() override { set_log_level(level_); }

  QuantizeOptions options(const std::string& output, Method method = Method::kParoQuant) const {
    QuantizeOptions o;
    o.model = (folder_ / "source").string();
    o.output = folder_ / output;
    o.method = method;
    o.group_size = 32;
    o.rotations = method == Method::kParoQuant ? 4 : 0;
    o.calibration = {folder_ / "text.txt"};
    o.samples = 8;
    o.seq_len = 64;
    o.threads = 2;
    return o;
  }
  std::unique_ptr<Engine> load(const std::string& name) const {
    return Engine::load((folder_ / name).string(), {.cpu = {.threads = 1, .activations = Activations::kF32}});
  }
  double divergence(const std::string& name) const {
    const auto teacher = load("source");
    const auto student = load(name);
    const std::vector<std::string> text = {words(600, 2)};
    return evaluate_kl(*student, *teacher, eval_ids(*student, text), {.window = 64}).kl_mean;
  }
  std::string bytes(const std::string& file) const { return read_file(folder_ / file); }

  /// Expects an Error of this kind whose message holds all of `parts`, and no checkpoint behind it.
  void expect_error(const QuantizeOptions& o, ErrorKind kind, const std::vector<std::string>& parts) const {
    try {
      quantize(o);
      ADD_FAILURE() << "no error; expected " << parts.front();
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), kind) << error.what();
      for (const std::string& part : parts) EXPECT_THAT(error.what(), testing::HasSubstr(part));
    }
  }

  TemporaryFolder folder_;
  LogLevel level_;
};

}  // namespace paro::calib
