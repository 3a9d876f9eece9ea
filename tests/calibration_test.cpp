// Calibration text from files to windows of ids: proportions, seeds, what is held out, conversations, compression, the
// recipe's mix from a hub.
#include "calib/calibration_text.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <set>

#include "base/error.h"
#include "base/files.h"
#include "base/log.h"
#include "io/checkpoint.h"
#include "io/test_folder.h"
#include "io/test_hub.h"
#include "run_paro.h"
#include "tiny_model.h"

namespace paro::calib {
namespace {

using testing::HasSubstr;

constexpr int64_t kLength = 16;

class Calibration : public testing::Test {
 protected:
  Calibration() {
    write_tiny_model(folder_ / "model");
    checkpoint_ = open_checkpoint_folder(folder_ / "model");
    tokenizer_ = checkpoint_.make_tokenizer();
    chat_template_ = checkpoint_.make_chat_template();
  }
  /// A file of so many windows that all consist of this digit.
  std::filesystem::path digits(char digit, int64_t windows) {
    const auto file = folder_ / (std::string(1, digit) + ".txt");
    write_file(file, std::string(static_cast<size_t>(windows * kLength), digit));
    return file;
  }
  CalibrationDraw draw(const std::vector<CalibrationFile>& files, int64_t samples, int64_t held_out = 0,
                       uint64_t seed = 0) {
    return draw_calibration(*tokenizer_, chat_template_.get(), files, {samples, kLength, held_out}, seed);
  }
  /// How many windows of [begin, end) begin with which id.
  std::map<int32_t, int64_t> counts(const CalibrationDraw& draw, int64_t begin, int64_t end) {
    std::map<int32_t, int64_t> result;
    for (int64_t i = begin; i < end; ++i) ++result[draw.ids[static_cast<size_t>(i * kLength)]];
    return result;
  }
  int32_t id(const char* token) { return tokenizer_->token_to_id(token).value(); }

  TemporaryFolder folder_;
  Checkpoint checkpoint_;
  std::unique_ptr<const Tokenizer> tokenizer_;
  std::unique_ptr<const ChatTemplate> chat_template_;
};

TEST_F(Calibration, WeightsAreSharesOfTheWindows) {
  const auto one = digits('1', 50), two = digits('2', 50);
  EXPECT_EQ(counts(draw({one, two}, 20), 0, 20), (std::map<int32_t, int64_t>{{id("1"), 10}, {id("2"), 10}}));
  const CalibrationDraw weighted = draw({{one, 3.0}, {two, 1.0}}, 20);
  EXPECT_EQ(counts(weighted, 0, 20), (std::map<int32_t, int64_t>{{id("1"), 15}, {id("2"), 5}}));
  EXPECT_EQ(weighted.files[0]["windows"], 15);
  EXPECT_EQ(weighted.files[0]["weight"], 3.0);
  EXPECT_EQ(weighted.files[1]["file"], "2.txt");
}

TEST_F(Calibration, WhatOneFileLacksTheOthersGive) {
  const auto few = digits('1', 3), many = digits('2', 50), more = digits('3', 50);
  EXPECT_EQ(counts(draw({{few, 8.0}, many, more}, 23), 0, 23),
            (std::map<int32_t, int64_t>{{id("1"), 3}, {id("2"), 10}, {id("3"), 10}}));
  EXPECT_EQ(counts(draw({few, many}, 53), 0, 53), (std::map<int32_t, int64_t>{{id("1"), 3}, {id("2"), 50}}));
  EXPECT_THAT(input_error_of([&] { draw({few, many}, 54); }), HasSubstr("found 53 in 2 files"));
}

TEST_F(Calibration, HeldOutWindowsAreOthers) {
  // Every window has a number of its own.
  std::string text;
  for (int i = 0; i < 12; ++i) text += std::to_string(1'000'000 + i) + std::string(kLength - 7, '.');
  write_file(folder_ / "numbers.txt", text);
  const std::vector<CalibrationFile> files = {folder_ / "numbers.txt"};
  const CalibrationDraw found = draw(files, 8, 2);
  ASSERT_EQ(found.held_out, 2);
  ASSERT_EQ(std::ssize(found.ids), 10 * kLength);
  std::set<std::vector<int32_t>> windows;
  for (auto at = found.ids.begin(); at != found.ids.end(); at += kLength) windows.emplace(at, at + kLength);
  EXPECT_EQ(windows.size(), 10u);
  EXPECT_EQ(draw(files, 8, 2).ids, found.ids);
  EXPECT_NE(draw(files, 8, 2, 1).ids, found.ids);
  // The windows fitted to do not depend on how many are held out, and no more are held out than there are.
  const CalibrationDraw fewer = draw(files, 11, 8);
  EXPECT_EQ(fewer.held_out, 1);
  const CalibrationDraw none = draw(files, 8);
  EXPECT_TRUE(std::equal(none.ids.begin(), none.ids.end(), found.ids.begin()));
}

TEST_F(Calibration, ConversationsGoThroughTheModelsTemplate) {
  write_file(folder_ / "chat.jsonl",
             R"({"messages": [{"role": "user", "content": "hello"}, {"role": "assistant", "content": "the end"}]})");
  const std::vector<int32_t> expected =
      tokenizer_->encode("<|im_start|>user\nhello<|im_end|>\n<|im_start|>assistant\nthe end<|im_end|>\n", false);
  ASSERT_GE(std::ssize(expected), kLength);
  EXPECT_EQ(expected[0], id("<|im_start|>"));
  const CalibrationDraw found = draw({folder_ / "chat.jsonl"}, 1);
  EXPECT_EQ(found.ids[0], expected[0]);
  EXPECT_TRUE(std::search(expected.begin(), expected.end(), found.ids.begin(), found.ids.end()) != expected.end());
  chat_template_.reset();
  EXPECT_THAT(input_error_of([&] { draw({folder_ / "chat.jsonl"}, 1); }), HasSubstr("chat.jsonl:1"));
}

TEST_F(Calibration, CompressedFilesGiveTheSameWindows) {
  const auto fixtures = std::filesystem::path(PARO_SOURCE_DIR) / "tests/fixtures/compressed";
  const std::vector<int32_t> plain = draw({fixtures / "lines.jsonl"}, 20).ids;
  EXPECT_EQ(draw({fixtures / "lines.jsonl.zst"}, 20).ids, plain);
  EXPECT_EQ(draw({fixtures / "lines.jsonl.gz"}, 20).ids, plain);
  EXPECT_EQ(draw({fixtures / "train.zip"}, 20).ids, plain);
}

TEST_F(Calibration, FilesAndWeightsOfTheCommandLine) {
  EXPECT_EQ(CalibrationFile::parse("a/b.txt").path, "a/b.txt");
  EXPECT_EQ(CalibrationFile::parse("a/b.txt").weight, 1.0);
  EXPECT_EQ(CalibrationFile::parse("a/b.txt:2.5").path, "a/b.txt");
  EXPECT_EQ(CalibrationFile::parse("a/b.txt:2.5").weight, 2.5);
  EXPECT_EQ(CalibrationFile::parse("a/b.txt:2.5").label(), "b.txt:2.5");
  EXPECT_EQ(CalibrationFile::parse("a:b.txt").path, "a:b.txt");
  const std::string existing = (folder_ / "part:2").string();
  write_file(existing, "text");
  EXPECT_EQ(CalibrationFile::parse(existing).path, existing);
  for (const char* wrong : {"a.txt:0", "a.txt:-1", "a.txt:inf", "a.txt:nan"}) {
    try {
      CalibrationFile::parse(wrong);
      ADD_FAILURE() << wrong;
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::kUsage);
      EXPECT_THAT(error.what(), HasSubstr(wrong));
    }
  }
}

TEST_F(Calibration, TheRecipesMixComesFromTheHub) {
  if (!HubProcess::possible()) GTEST_SKIP() << "python3 is missing";
  const auto fixtures = std::filesystem::path(PARO_SOURCE_DIR) / "tests/fixtures/compressed";
  TestFolder served;
  std::string lines;
  for (int i = 0; i < 40; ++i) lines += R"({"text": "a river and the stone number )" + std::to_string(i) + "\"}\n";
  for (const char* name : {"cc_2023-06", "c4", "github", "arxiv", "book", "wikipedia", "stackexchange"})
    served.write("files/" + std::string(name) + "_sample.jsonl", lines);
  served.write("files/wikitext-2-raw-v1.zip", read_file(fixtures / "train.zip"));
  served.write("files/en/c4-train.00000-of-01024.json.gz", read_file(fixtures / "lines.jsonl.gz"));
  HubProcess hub(served.path());
  const RunOptions options = {.environment = {"HF_ENDPOINT=" + hub.endpoint(), "HF_HOME=" + (folder_ / "hf").string()}};
  const Outcome pulled = run_paro({"pull", "--dataset", "recipe"}, options);
  ASSERT_EQ(pulled.exit_code, 0) << pulled.err;
  EXPECT_EQ(std::count(pulled.out.begin(), pulled.out.end(), '\n'), 9) << pulled.out;
  EXPECT_THAT(pulled.out, HasSubstr("datasets--allenai--c4/snapshots"));

  // From the cache.
  hub.stop();
  const Outcome run =
      run_paro({"quantize", (folder_ / "model").string(), "-o", (folder_ / "out").string(), "--calibration", "recipe",
                "--samples", "60", "--seq-len", "16", "--group-size", "64", "--offline", "--json"},
               options);
  ASSERT_EQ(run.exit_code, 0) << run.err;
  const Json report = parse_json(run.out, "report");
  const Json& files = report["calibration"]["files"];
  ASSERT_EQ(files.size(), 9u);
  EXPECT_EQ(files[0]["file"], "wikitext-2-raw-v1.zip");
  EXPECT_EQ(files[0]["windows"], 20);
  EXPECT_EQ(files[1]["windows"], 20);
  EXPECT_GT(files[2]["windows"], 10);
  EXPECT_THAT(read_file(folder_ / "out/README.md"), HasSubstr("| c4-train.00000-of-01024.json.gz | 1 | 40 |"));
}

}  // namespace
}  // namespace paro::calib
