#include "io/safetensors.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <csignal>
#include <cstring>

#include "base/json.h"
#include "io/test_folder.h"

namespace paro {
namespace {

using ::testing::HasSubstr;

const std::filesystem::path kFixtures = std::filesystem::path(PARO_SOURCE_DIR) / "tests/fixtures/safetensors";

std::string file_of(const std::string& header, size_t data_bytes) {
  const uint64_t size = header.size();
  return std::string(reinterpret_cast<const char*>(&size), 8) + header + std::string(data_bytes, '\0');
}

std::string open_error(const std::string& bytes) {
  const TestFolder folder;
  const auto path = folder.write("bad.safetensors", bytes);
  const std::string message = input_error_of([&] { SafetensorsFile::open(path); });
  if (!message.empty()) {
    EXPECT_THAT(message, HasSubstr("bad.safetensors"));
  }
  return message;
}

std::string header_error(const std::string& header, size_t data_bytes = 8) {
  return open_error(file_of(header, data_bytes));
}

TensorToWrite tensor_of(const std::string& name, DType type, std::vector<int64_t> shape, const std::string& bytes) {
  return {name, type, std::move(shape), [bytes](const auto& sink) {
            // In two pieces.
            sink(bytes.data(), bytes.size() / 2);
            sink(bytes.data() + bytes.size() / 2, bytes.size() - bytes.size() / 2);
          }};
}

std::string bytes_of(const WeightSource& source, const std::string& name) {
  const LoadedTensor tensor = source.load(name);
  return {reinterpret_cast<const char*>(tensor.view.data), static_cast<size_t>(tensor.view.bytes())};
}

TEST(Safetensors, ReadsWhatTheReferenceWrote) {
  const auto file = SafetensorsFile::open(kFixtures / "single/model.safetensors");
  EXPECT_EQ(file->metadata().at("note"), "a fixture");
  EXPECT_EQ(file->tensors().size(), 11u);
  EXPECT_EQ(file->require("f32").shape, (std::vector<int64_t>{3, 5}));
  for (const char* name : {"f64", "f32", "f16"}) {
    const std::vector<float> values = file->load_f32(name);
    for (size_t i = 0; i < values.size(); ++i) EXPECT_EQ(values[i], static_cast<float>(i)) << name;
  }
  EXPECT_EQ(file->load_f32("scalar"), std::vector<float>{0.0f});
  EXPECT_TRUE(file->load_f32("empty").empty());
  int16_t last = 0;
  std::memcpy(&last, file->load("i16").view.data + 4, 2);
  EXPECT_EQ(last, 2);
  EXPECT_EQ(file->require("bool").dtype, DType::kBool);
  EXPECT_THAT(input_error_of([&] { file->load_f32("i64"); }), HasSubstr("expected a float type, found I64"));
  EXPECT_THAT(input_error_of([&] { file->load("nothing"); }), HasSubstr("tensor \"nothing\" is missing"));
  EXPECT_THAT(input_error_of([&] { file->require("f32", {5, 3}); }), HasSubstr("expected shape [5, 3], found [3, 5]"));
}

TEST(Safetensors, ReadsShards) {
  const auto source = open_safetensors_folder(kFixtures / "sharded");
  ASSERT_EQ(source->tensors().size(), 6u);
  for (int i = 0; i < 6; ++i) {
    const std::string name = fmt::format("layer.{}.weight", i);
    EXPECT_EQ(source->load_f32(name), std::vector<float>(4, static_cast<float>(i)));
    EXPECT_THAT(source->place(name), HasSubstr(i % 2 == 0 ? "model-00001" : "model-00002"));
  }
}

TEST(Safetensors, AlignsWhatTheFileDoesNot) {
  const TestFolder folder;
  // A header of odd length, and a byte before the floats.
  const auto path = folder.write(
      "odd.safetensors",
      file_of(
          R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"b":{"dtype":"F32","shape":[1],"data_offsets":[1,5]} })",
          5));
  const auto file = SafetensorsFile::open(path);
  const LoadedTensor tensor = file->load("b");
  EXPECT_EQ(reinterpret_cast<uintptr_t>(tensor.view.data) % 4, 0u);
}

TEST(Safetensors, RefusesBadHeaders) {
  EXPECT_THAT(open_error(""), HasSubstr("found 0 bytes"));
  EXPECT_THAT(open_error("1234567"), HasSubstr("found 7 bytes"));
  EXPECT_THAT(open_error(std::string(16, '\xff')), HasSubstr("truncated"));
  EXPECT_THAT(open_error(file_of("{}", 0).substr(0, 9)), HasSubstr("truncated"));
  EXPECT_THAT(header_error("nonsense"), HasSubstr("not valid JSON"));
  EXPECT_THAT(header_error("{"), HasSubstr("not valid JSON"));
  EXPECT_THAT(header_error("7"), HasSubstr("expected a JSON object"));
  EXPECT_THAT(header_error(std::string(100000, '[')), HasSubstr("an array"));
  EXPECT_THAT(header_error(R"({"a":3})"), HasSubstr("tensor \"a\": expected an object, found a number"));
  EXPECT_THAT(header_error(R"({"a":{"dtype":{}}})"), HasSubstr("an object"));
  EXPECT_THAT(header_error(R"({"a":{"shape":[[1]]}})"), HasSubstr("an array"));
  EXPECT_THAT(header_error(R"({"a":{"shape":[1.5]}})"), HasSubstr("fraction"));
  EXPECT_THAT(header_error(R"({"a":{"shape":[1],"shape":[2]}})"), HasSubstr("repeated \"shape\""));
  EXPECT_THAT(header_error(R"({"a":{"dtype":"F32","shape":[2]}})"), HasSubstr("data_offsets"));
  EXPECT_THAT(header_error(R"({"a":{"dtype":"F32","shape":[],"other":1}})"), HasSubstr("\"other\""));
  EXPECT_THAT(header_error(R"({"__metadata__":{"a":1}})"), HasSubstr("__metadata__"));
  EXPECT_THAT(header_error(R"({"a":{"dtype":"F8_E4M3","shape":[8],"data_offsets":[0,8]}})"),
              HasSubstr("tensor \"a\": type F8_E4M3 is not supported"));
}

TEST(Safetensors, RefusesBadLayouts) {
  const auto one = [](const std::string& shape, const std::string& offsets) {
    return header_error(R"({"a":{"dtype":"F32","shape":)" + shape + R"(,"data_offsets":)" + offsets + "}}");
  };
  EXPECT_EQ(one("[2]", "[0,8]"), "");
  EXPECT_THAT(one("[2]", "[0,4]"), HasSubstr("expected 8 bytes for F32 [2], found data_offsets [0, 4]"));
  EXPECT_THAT(one("[2]", "[8,0]"), HasSubstr("data_offsets [8, 0]"));
  EXPECT_THAT(one("[-2]", "[0,8]"), HasSubstr("negative number -2"));
  EXPECT_THAT(one("[2]", "[0,99999999999999999999]"), HasSubstr("fraction"));
  EXPECT_THAT(one("[18446744073709551615]", "[0,8]"), HasSubstr("out of range"));
  EXPECT_THAT(one("[4294967296,4294967296]", "[0,0]"), HasSubstr("too large"));
  EXPECT_THAT(one("[9223372036854775807,4,0]", "[0,0]"), HasSubstr("too large"));
  EXPECT_THAT(one("[4]", "[0,16]"), HasSubstr("within 8 bytes"));
  EXPECT_THAT(one("[1]", "[4,8]"), HasSubstr("leaves a hole before it: expected offset 0, found 4"));
  EXPECT_THAT(one("[1]", "[0,4]"), HasSubstr("expected 4 bytes of data, found 8"));
  const std::string a = R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},)";
  EXPECT_THAT(header_error(a + R"("b":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}})"), HasSubstr("overlaps"));
  EXPECT_THAT(header_error(a + R"("a":{"dtype":"F32","shape":[1],"data_offsets":[8,12]}})", 12),
              HasSubstr("tensor \"a\" is there twice"));
}

TEST(Safetensors, RefusesValuesThatAreNotFinite) {
  const TestFolder folder;
  const float values[2] = {1.0f, INFINITY};
  write_safetensors(folder.path() / "x",
                    {tensor_of("w", DType::kF32, {2}, {reinterpret_cast<const char*>(values), 8})});
  const auto file = SafetensorsFile::open(folder.path() / "x");
  EXPECT_THAT(input_error_of([&] { file->load_f32("w"); }), HasSubstr("found inf at element 1"));
}

TEST(Safetensors, RefusesBadIndexes) {
  const TestFolder folder;
  const auto error = [&](const std::string& index) {
    folder.write("model.safetensors.index.json", index);
    return input_error_of([&] { open_safetensors_folder(folder.path()); });
  };
  EXPECT_THAT(input_error_of([&] { open_safetensors_folder(folder.path()); }), HasSubstr("found neither"));
  EXPECT_THAT(error("[]"), HasSubstr("weight_map"));
  EXPECT_THAT(error(R"({"weight_map": {"a": 1}})"), HasSubstr("tensor \"a\": expected a file name"));
  EXPECT_THAT(error(R"({"weight_map": {"a": "../x"}})"), HasSubstr("inside the folder, found \"../x\""));
  EXPECT_THAT(error(R"({"weight_map": {"a": "/etc/passwd"}})"), HasSubstr("inside the folder"));
  EXPECT_THAT(error(R"({"weight_map": {"a": "gone.safetensors"}})"), HasSubstr("which is missing"));
  folder.write("s.safetensors", file_of("{}", 0));
  EXPECT_THAT(error(R"({"weight_map": {"a": "s.safetensors"}})"), HasSubstr("which does not hold it"));
  folder.write("deep.json", "");
  EXPECT_THAT(error(std::string(100000, '[')), HasSubstr("nested deeper"));
}

TEST(SafetensorsWrite, RoundTripsInOneFileAndInShards) {
  std::vector<TensorToWrite> tensors;
  for (int i = 0; i < 5; ++i)
    tensors.push_back(tensor_of(fmt::format("t{}", i), i % 2 == 0 ? DType::kF16 : DType::kI32, {3, i + 1},
                                std::string(static_cast<size_t>((i + 1) * 3 * (i % 2 == 0 ? 2 : 4)), 'a' + char(i))));
  for (const int64_t shard_bytes : {int64_t{1} << 30, int64_t{40}, int64_t{1}}) {
    const TestFolder folder;
    write_safetensors_folder(folder.path(), tensors, shard_bytes);
    const auto source = open_safetensors_folder(folder.path());
    ASSERT_EQ(source->tensors().size(), 5u);
    for (const TensorToWrite& tensor : tensors) {
      EXPECT_EQ(source->require(tensor.name).shape, tensor.shape);
      EXPECT_EQ(bytes_of(*source, tensor.name)[0], 'a' + (tensor.name[1] - '0'));
    }
    if (shard_bytes != 1) continue;
    const Json index = read_json(folder.path() / "model.safetensors.index.json");
    EXPECT_EQ(index["metadata"]["total_size"], 6 + 24 + 18 + 48 + 30);
    EXPECT_EQ(index["weight_map"]["t4"], "model-00005-of-00005.safetensors");
    // Written anew as one file, the folder is that file.
    write_safetensors_folder(folder.path(), {tensors[0]});
    EXPECT_EQ(open_safetensors_folder(folder.path())->tensors().size(), 1u);
  }
}

TEST(SafetensorsWrite, LeavesNothingBehindWhenTheDiskIsFull) {
  const TestFolder folder;
  std::vector<TensorToWrite> tensors;
  for (int i = 0; i < 3; ++i)
    tensors.push_back(
        tensor_of(fmt::format("t{}", i), DType::kU8, {i < 2 ? 100 : 100000}, std::string(i < 2 ? 100 : 100000, 'x')));
  std::signal(SIGXFSZ, SIG_IGN);
  rlimit before{};
  getrlimit(RLIMIT_FSIZE, &before);
  const rlimit small{4096, before.rlim_max};
  setrlimit(RLIMIT_FSIZE, &small);
  ErrorKind kind = ErrorKind::kDefect;
  try {
    write_safetensors_folder(folder.path(), tensors, 150);
  } catch (const Error& error) {
    kind = error.kind();
  }
  setrlimit(RLIMIT_FSIZE, &before);
  EXPECT_EQ(kind, ErrorKind::kLimit);
  EXPECT_TRUE(std::filesystem::is_empty(folder.path()));
}

}  // namespace
}  // namespace paro
