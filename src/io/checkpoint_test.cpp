#include "io/checkpoint.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "io/test_folder.h"

namespace paro {
namespace {

using ::testing::HasSubstr;
namespace fs = std::filesystem;

constexpr CheckpointParts kNoWeights{true, false, true};

TEST(ResolveInside, FollowsLinksInsideOnly) {
  const TestFolder folder;
  folder.write("out.txt", "x");
  folder.write("c/sub/in.txt", "x");
  const fs::path c = folder.path() / "c";
  fs::create_symlink("sub/in.txt", c / "inside");
  fs::create_symlink("../out.txt", c / "outside");
  fs::create_symlink("two", c / "one");
  fs::create_symlink("one", c / "two");
  fs::create_directory_symlink(folder.path(), c / "up");
  EXPECT_EQ(resolve_inside(c, "inside"), c / "inside");
  EXPECT_EQ(resolve_inside(c, "new.txt"), c / "new.txt");
  const auto error = [&](const std::string& entry) { return input_error_of([&] { resolve_inside(c, entry); }); };
  EXPECT_THAT(error("outside"), HasSubstr("leads outside"));
  EXPECT_THAT(error("up/out.txt"), HasSubstr("leads outside"));
  EXPECT_THAT(error("one"), HasSubstr("cannot follow the link"));
  EXPECT_THAT(error("../out.txt"), HasSubstr("inside the folder"));
  EXPECT_THAT(error("sub/../../out.txt"), HasSubstr("inside the folder"));
  EXPECT_THAT(error("/etc/passwd"), HasSubstr("inside the folder"));
  EXPECT_THAT(error(""), HasSubstr("inside the folder"));
  EXPECT_THAT(error(std::string("a\0b", 3)), HasSubstr("inside the folder"));
}

TEST(ResolveInside, FollowsLinksOfTheModelsOwnCache) {
  const TestFolder folder;
  folder.write("models--org--name/blobs/abc", "x");
  folder.write("models--org--other/blobs/abc", "x");
  const fs::path snapshot = folder.path() / "models--org--name/snapshots/1234";
  fs::create_directories(snapshot);
  fs::create_symlink("../../blobs/abc", snapshot / "mine");
  fs::create_symlink("../../../models--org--other/blobs/abc", snapshot / "theirs");
  EXPECT_EQ(resolve_inside(snapshot, "mine"), snapshot / "mine");
  EXPECT_THAT(input_error_of([&] { resolve_inside(snapshot, "theirs"); }), HasSubstr("leads outside"));
}

TEST(CheckpointFolder, ReadsItsParts) {
  const TestFolder folder;
  folder.write("config.json", R"({"model_type": "llama"})");
  folder.write("tokenizer_config.json", R"({"chat_template": [{"name": "tools", "template": "T"},
                                            {"name": "default", "template": "D"}]})");
  Checkpoint checkpoint = open_checkpoint_folder(folder.path(), kNoWeights);
  EXPECT_EQ(checkpoint.config["model_type"], "llama");
  EXPECT_TRUE(checkpoint.tokenizer_json.is_null());
  EXPECT_EQ(checkpoint.chat_template, "D");
  folder.write("tokenizer_config.json", R"({"chat_template": "S"})");
  EXPECT_EQ(open_checkpoint_folder(folder.path(), kNoWeights).chat_template, "S");
  folder.write("chat_template.jinja", "J");
  EXPECT_EQ(open_checkpoint_folder(folder.path(), kNoWeights).chat_template, "J");
}

TEST(CheckpointFolder, SaysWhatIsMissing) {
  const TestFolder folder;
  const auto error = [&](const CheckpointParts& parts) {
    return input_error_of([&] { open_checkpoint_folder(folder.path(), parts); });
  };
  EXPECT_THAT(input_error_of([&] { open_checkpoint_folder(folder.path() / "no"); }),
              HasSubstr("expected a checkpoint folder"));
  EXPECT_THAT(error({}), HasSubstr("there is no config.json"));
  folder.write("config.json", "{}");
  EXPECT_THAT(error({}), HasSubstr("found neither"));
  folder.write("pytorch_model.bin", "");
  EXPECT_THAT(error({}), HasSubstr("convert them to safetensors"));
  folder.write("tokenizer_config.json", R"({"chat_template": 5})");
  EXPECT_THAT(error(kNoWeights), HasSubstr("\"chat_template\": expected a string or a list"));
  folder.write("tokenizer_config.json", "[1]");
  EXPECT_THAT(error(kNoWeights), HasSubstr("expected an object"));
  folder.write("tokenizer_config.json", "{");
  EXPECT_THAT(error(kNoWeights), HasSubstr("tokenizer_config.json: not valid JSON"));
}

}  // namespace
}  // namespace paro
