#include "io/hub.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>

#include "base/files.h"
#include "base/log.h"
#include "io/hub_digest.h"
#include "io/hub_files.h"
#include "io/test_folder.h"
#include "io/test_hub.h"

namespace paro {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;
namespace fs = std::filesystem;

constexpr const char* kCommit = "0123456789abcdef0123456789abcdef01234567";

/// A hub with files of its own.
class Hub : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!HubProcess::possible()) GTEST_SKIP() << "python3 is missing";
    set_log_level(LogLevel::kQuiet);
    served_.write("files/config.json", R"({"model_type": "llama"})");
    served_.write("files/model.safetensors", std::string(300000, 'w'));
    served_.write("files/pytorch_model.bin", "not wanted");
    start();
    options_.cache = cache_.path();
    options_.token = "secret";
  }
  void TearDown() override { set_log_level(LogLevel::kInfo); }
  /// Serves the files that are there now.
  void start() {
    server_ = std::make_unique<HubProcess>(served_.path());
    options_.endpoint = server_->endpoint();
  }
  void stop() { server_->stop(); }
  std::string requests() { return server_->requests(); }
  std::string error(const std::string& id) {
    return input_error_of([&] { hub_snapshot(id, options_); });
  }
  std::string error_of_files(const std::string& id, const std::vector<std::string>& names) {
    return input_error_of([&] { hub_dataset_files(id, names, options_); });
  }

  TestFolder served_;
  TestFolder cache_;
  HubOptions options_;
  std::unique_ptr<HubProcess> server_;
};

TEST_F(Hub, DownloadsIntoTheStandardCacheOnce) {
  const fs::path snapshot = hub_snapshot("org/name", options_);
  EXPECT_EQ(snapshot, cache_.path() / "models--org--name/snapshots" / kCommit);
  EXPECT_EQ(read_file(snapshot / "model.safetensors"), std::string(300000, 'w'));
  EXPECT_TRUE(fs::is_symlink(snapshot / "config.json"));
  EXPECT_FALSE(fs::exists(snapshot / "pytorch_model.bin"));
  EXPECT_EQ(read_file(cache_.path() / "models--org--name/refs/main"), kCommit);
  for (const auto& blob : fs::directory_iterator(cache_.path() / "models--org--name/blobs"))
    EXPECT_NE(blob.path().extension(), ".incomplete");
  EXPECT_EQ(hub_snapshot("org/name", options_), snapshot);
  const std::string asked = requests();
  EXPECT_EQ(std::count(asked.begin(), asked.end(), '\n'), 4) << asked;
  EXPECT_THAT(asked, HasSubstr("Bearer secret"));
  // Without an answer, and offline, from the cache.
  EXPECT_EQ(hub_snapshot("org/name", options_), snapshot);
  options_.offline = true;
  EXPECT_EQ(hub_snapshot("org/name", options_), snapshot);
  EXPECT_THAT(error("org/other"), HasSubstr("not in the cache"));
}

TEST_F(Hub, ContinuesWhatBrokeOff) {
  const fs::path snapshot = hub_snapshot("org/flaky", options_);
  EXPECT_EQ(read_file(snapshot / "model.safetensors").size(), 300000u);
  EXPECT_THAT(requests(), HasSubstr("model.safetensors bytes=150000-"));
}

TEST_F(Hub, StartsOverWhenTheServerDoesNotContinue) {
  const std::string name = sha256_of_file(served_.path() / "files/model.safetensors");
  cache_.write("models--org--ranged/blobs/" + name + ".incomplete", "old bytes");
  EXPECT_EQ(read_file(hub_snapshot("org/ranged", options_) / "model.safetensors"), std::string(300000, 'w'));
}

TEST_F(Hub, KeepsTheTokenFromOtherHosts) {
  const fs::path snapshot = hub_snapshot("org/moved", options_);
  EXPECT_EQ(read_file(snapshot / "model.safetensors").size(), 300000u);
  EXPECT_THAT(requests(), HasSubstr("/elsewhere/model.safetensors - -"));
}

TEST_F(Hub, RemovesWhatHasAnotherChecksum) {
  EXPECT_THAT(error("org/wrong"), HasSubstr("model.safetensors: expected checksum 0000"));
  for (const auto& blob : fs::directory_iterator(cache_.path() / "models--org--wrong/blobs"))
    EXPECT_THAT(blob.path().string(), Not(HasSubstr("0000")));
}

TEST_F(Hub, SaysWhyNot) {
  EXPECT_THAT(error("org/private"), HasSubstr("HF_TOKEN was not accepted"));
  options_.token.clear();
  EXPECT_THAT(error("org/private"), HasSubstr("set HF_TOKEN"));
  EXPECT_THAT(error("org/gated"), HasSubstr("accept the model's conditions"));
  EXPECT_THAT(error("org/missing@v1"), HasSubstr("not found (revision v1)"));
  stop();
  EXPECT_THAT(error("org/name"), HasSubstr("cannot download"));
}

TEST_F(Hub, FilesOfADataSetWithTheirFolders) {
  served_.write("files/en/part 1.json.gz", std::string(300000, 'c'));
  served_.write("files/plain.jsonl", "lines");
  start();
  const std::vector<std::string> names = {"en/part 1.json.gz", "plain.jsonl"};
  const std::vector<fs::path> paths = hub_dataset_files("org/flaky", names, options_);
  const fs::path snapshot = cache_.path() / "datasets--org--flaky/snapshots" / kCommit;
  ASSERT_EQ(paths, (std::vector<fs::path>{snapshot / "en/part 1.json.gz", snapshot / "plain.jsonl"}));
  EXPECT_EQ(read_file(paths[0]), std::string(300000, 'c'));
  EXPECT_EQ(read_file(paths[1]), "lines");
  EXPECT_TRUE(fs::is_symlink(paths[0]));
  EXPECT_THAT(error_of_files("org/flaky", {"en/part 2.json.gz"}), HasSubstr("has no file \"en/part 2.json.gz\""));
  EXPECT_THAT(error_of_files("org/private", {"plain.jsonl"}), HasSubstr("HF_TOKEN was not accepted"));
  // What is there is not asked for again, and offline it is enough.
  EXPECT_EQ(hub_dataset_files("org/flaky", names, options_), paths);
  options_.offline = true;
  EXPECT_EQ(hub_dataset_files("org/flaky", {"plain.jsonl"}, options_)[0], paths[1]);
  EXPECT_THAT(error_of_files("org/flaky", {"config.json"}), HasSubstr("config.json is not in the cache"));
  const std::string asked = requests();
  EXPECT_THAT(asked, HasSubstr("/api/datasets/org/flaky/revision/main"));
  EXPECT_THAT(asked, HasSubstr("/datasets/org/flaky/resolve/" + std::string(kCommit) + "/en/part%201.json.gz"));
  for (const char* name : {"../x", "/x", "a//b", "a/", "", "a/../b", ".git/config"})
    EXPECT_THAT(error_of_files("org/flaky", {name}), HasSubstr("expected a file's path")) << name;
  EXPECT_THAT(error_of_files("flaky", {"x"}), HasSubstr("expected a data set's id"));
}

TEST(HubId, IsToldFromAPath) {
  EXPECT_TRUE(looks_like_hub_id("org/name-1.5_b"));
  EXPECT_TRUE(looks_like_hub_id("org/name@refs/pr/1"));
  for (const char* other :
       {"name", "a/b/c", "/org/name", "org/../x", "../org", "org/", "org/x.gguf", "org/a b", "org/a@"})
    EXPECT_FALSE(looks_like_hub_id(other)) << other;
}

std::string answer_error(const char* text) {
  return input_error_of([&] { parse_hub_model(parse_json(text, "hub"), "hub"); });
}

TEST(HubFiles, RefusesBadAnswers) {
  EXPECT_THAT(answer_error("[]"), HasSubstr("expected an object"));
  EXPECT_THAT(answer_error(R"({"sha": "../../x", "siblings": []})"), HasSubstr("40 hexadecimal digits"));
  const std::string sha = R"({"sha": ")" + std::string(kCommit) + R"(", "siblings": )";
  EXPECT_THAT(answer_error((sha + "3}").c_str()), HasSubstr("siblings"));
  EXPECT_THAT(answer_error((sha + "[4]}").c_str()), HasSubstr("rfilename"));
  EXPECT_THAT(answer_error((sha + R"([{"rfilename": "../model.safetensors"}]})").c_str()), HasSubstr("no safetensors"));
  EXPECT_THAT(answer_error((sha + R"([{"rfilename": "a.gguf"}, {"rfilename": "b.gguf"}]})").c_str()),
              HasSubstr("2 GGUF files"));
  EXPECT_THAT(answer_error((sha + R"([{"rfilename": "pytorch_model.bin"}]})").c_str()), HasSubstr("pickled"));
  EXPECT_EQ(answer_error((sha + R"([{"rfilename": "a.gguf"}]})").c_str()), "");
}

}  // namespace
}  // namespace paro
