#include "io/hub.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>

#include "base/files.h"
#include "base/log.h"
#include "io/hub_digest.h"
#include "io/hub_files.h"
#include "io/test_folder.h"

namespace paro {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;
namespace fs = std::filesystem;

constexpr const char* kCommit = "0123456789abcdef0123456789abcdef01234567";

/// tests/fixtures/hub_server.py with files of its own; `requests` is what it was asked.
class Hub : public ::testing::Test {
 protected:
  void SetUp() override {
    if (std::system("python3 -c '' > /dev/null 2>&1") != 0) GTEST_SKIP() << "python3 is missing";
    set_log_level(LogLevel::kQuiet);
    served_.write("files/config.json", R"({"model_type": "llama"})");
    served_.write("files/model.safetensors", std::string(300000, 'w'));
    served_.write("files/pytorch_model.bin", "not wanted");
    const std::string script = std::string(PARO_SOURCE_DIR) + "/tests/fixtures/hub_server.py";
    int ends[2];
    ASSERT_EQ(::pipe(ends), 0);
    server_ = ::fork();
    if (server_ == 0) {
      ::dup2(ends[1], STDOUT_FILENO);
      ::close(ends[0]);
      ::close(ends[1]);
      ::execlp("python3", "python3", script.c_str(), served_.path().c_str(), nullptr);
      ::_exit(127);
    }
    ::close(ends[1]);
    output_ = ::fdopen(ends[0], "r");
    options_.endpoint = "http://127.0.0.1:" + line();
    options_.cache = cache_.path();
    options_.token = "secret";
  }
  void TearDown() override {
    stop();
    if (output_ != nullptr) std::fclose(output_);
    set_log_level(LogLevel::kInfo);
  }
  void stop() {
    if (server_ > 0) {
      ::kill(server_, SIGKILL);
      ::waitpid(server_, nullptr, 0);
    }
    server_ = -1;
  }
  std::string line() {
    char text[1000] = "";
    if (std::fgets(text, sizeof text, output_) == nullptr) return "";
    std::string result = text;
    result.pop_back();
    return result;
  }
  /// Ends the server; all it was asked.
  std::string requests() {
    stop();
    std::string all;
    for (std::string one = line(); !one.empty(); one = line()) all += one + "\n";
    return all;
  }
  std::string error(const std::string& id) {
    return input_error_of([&] { hub_snapshot(id, options_); });
  }

  TestFolder served_;
  TestFolder cache_;
  HubOptions options_;
  pid_t server_ = -1;
  FILE* output_ = nullptr;
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
