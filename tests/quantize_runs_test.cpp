// Runs of `paro quantize` on a tiny model: seeds, interruption and resuming, memory, bad input.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <functional>
#include <thread>

#include "backends/cpu/cpu_ops.h"
#include "base/error.h"
#include "base/files.h"
#include "calib/cpu_device.h"
#include "calib/mapped_values.h"
#include "calib/quantize.h"
#include "calib/self_text.h"
#include "quantize_fixture.h"

namespace paro::calib {
namespace {

class QuantizeRuns : public QuantizeTest {
 protected:
  /// A run that is stopped after 0, 1 or 2 layers and resumed writes what one run does.
  void expect_resumed(const std::string& prefix, const std::function<QuantizeOptions(const std::string&)>& make) const;
};

/// What a run reports that does not depend on the time it took or where it wrote.
Json lasting(Json report) {
  for (const char* key : {"output", "seconds", "bytes"}) report.erase(key);
  for (Json& layer : report["layers"]) layer.erase("seconds");
  if (report.contains("transform"))
    for (const char* key : {"moment_seconds", "fit_seconds"}) report["transform"].erase(key);
  return report;
}

TEST_F(QuantizeRuns, SeedsDecideTheBytes) {
  quantize(options("one"));
  quantize(options("two"));
  QuantizeOptions other = options("other");
  other.seed = 1;
  quantize(other);
  EXPECT_EQ(bytes("one/model.safetensors"), bytes("two/model.safetensors"));
  EXPECT_NE(bytes("one/model.safetensors"), bytes("other/model.safetensors"));
}

void QuantizeRuns::expect_resumed(const std::string& prefix,
                                  const std::function<QuantizeOptions(const std::string&)>& make) const {
  const std::string whole = prefix + "-whole";
  const Json report = lasting(quantize(make(whole)));
  for (int done = 0; done < 3; ++done) {
    const std::string name = prefix + std::to_string(done);
    std::atomic<bool> cancel = done == 0;
    QuantizeOptions o = make(name);
    o.cancel = &cancel;
    std::atomic<bool> over = false;
    std::thread watch([&] {
      const auto finished = o.output / ".paro-work" / ("layer-0000" + std::to_string(done - 1) + ".json");
      while (done > 0 && !over && !std::filesystem::exists(finished))
        std::this_thread::sleep_for(std::chrono::microseconds(50));
      cancel = true;
    });
    EXPECT_THROW(quantize(o), Cancelled) << done;
    over = true;
    watch.join();
    EXPECT_FALSE(std::filesystem::exists(o.output / "config.json"));

    // Not without --resume, and not with other settings.
    o.cancel = nullptr;
    expect_error(o, ErrorKind::kInput, {name, "--resume"});
    o.resume = true;
    o.seed = 5;
    expect_error(o, ErrorKind::kInput, {"\"seed\""});
    o.seed = 0;
    EXPECT_EQ(lasting(quantize(o)), report) << done;
    EXPECT_EQ(bytes(name + "/model.safetensors"), bytes(whole + "/model.safetensors")) << done;
    EXPECT_EQ(bytes(name + "/config.json"), bytes(whole + "/config.json"));
  }
}

TEST_F(QuantizeRuns, AnInterruptedRunResumesToTheSameBytes) {
  expect_resumed("paro", [&](const std::string& name) { return options(name); });
  expect_resumed("mixed", [&](const std::string& name) {
    QuantizeOptions o = options(name);
    o.bits_for = {{"down_proj", 8}, {"q_proj", 3}, {"v_proj", 16}};
    return o;
  });
  expect_resumed("target", [&](const std::string& name) {
    QuantizeOptions o = options(name);
    o.target_bits = 4.0;
    return o;
  });
  expect_resumed("ends", [&](const std::string& name) {
    QuantizeOptions o = options(name);
    o.transform = Transform::kHybrid;
    o.embedding_bits = 8;
    o.head_bits = 4;
    return o;
  });
  expect_resumed("awq", [&](const std::string& name) {
    QuantizeOptions o = options(name, Method::kAwq);
    o.format = "awq";
    o.skip = {"layers\\.0\\..*v_proj"};
    return o;
  });
  expect_resumed("gptq", [&](const std::string& name) {
    QuantizeOptions o = options(name, Method::kGptq);
    o.format = "gptq";
    o.act_order = true;
    return o;
  });
}

TEST_F(QuantizeRuns, AnotherTextOfTheSameSettingsIsNoticedOrUnused) {
  // The ids of the first run are kept: a resumed run continues with them, whatever happened to the file.
  quantize(options("whole"));
  std::atomic<bool> cancel = true;
  QuantizeOptions o = options("resumed");
  o.cancel = &cancel;
  EXPECT_THROW(quantize(o), Cancelled);
  o.cancel = nullptr;
  o.resume = true;
  quantize(o);
  EXPECT_EQ(bytes("resumed/model.safetensors"), bytes("whole/model.safetensors"));
}

TEST_F(QuantizeRuns, WrongFlagsAndTextsAreExplained) {
  QuantizeOptions o = options("bad");
  o.group_size = 128;
  expect_error(o, ErrorKind::kInput, {"128", "q_proj", "64", "32"});
  o = options("bad");
  o.format = "awq";
  expect_error(o, ErrorKind::kUsage, {"--format awq", "--rotations 0"});
  o = options("bad", Method::kAwq);
  o.act_order = true;
  expect_error(o, ErrorKind::kUsage, {"--act-order", "--method gptq"});
  o = options("bad", Method::kGptq);
  o.act_order = true;
  expect_error(o, ErrorKind::kUsage, {"--act-order", "--format gptq"});
  o.format = "other";
  o.act_order = false;
  expect_error(o, ErrorKind::kInput, {"--format", "other"});
  o = options("bad");
  o.skip = {"("};
  expect_error(o, ErrorKind::kUsage, {"--skip"});
  o = options("bad");
  o.samples = 100000;
  expect_error(o, ErrorKind::kInput, {"100000", "64"});
  o = options("bad");
  o.seq_len = 512;
  expect_error(o, ErrorKind::kInput, {"512", "256"});
  o = options("bad");
  o.calibration = {folder_ / "missing.txt"};
  expect_error(o, ErrorKind::kInput, {"missing.txt"});
  o.calibration = {folder_ / "empty.txt"};
  write_file(folder_ / "empty.txt", "");
  o.resume = true;
  expect_error(o, ErrorKind::kInput, {"empty.txt"});
  write_file(folder_ / "lines.jsonl", "{\"text\": \"one\"}\n{\"text\": 2}\n");
  o = options("bad2");
  o.calibration = {folder_ / "lines.jsonl"};
  expect_error(o, ErrorKind::kInput, {"lines.jsonl:2", "text"});
}

TEST_F(QuantizeRuns, AFinishedOutputIsNotOverwritten) {
  quantize(options("done", Method::kRtn));
  const std::string before = bytes("done/model.safetensors");
  QuantizeOptions o = options("done", Method::kGptq);
  expect_error(o, ErrorKind::kInput, {"done", "config.json"});
  EXPECT_EQ(bytes("done/model.safetensors"), before);
  o = options("again");
  o.model = (folder_ / "done").string();
  expect_error(o, ErrorKind::kInput, {"paroquant"});
}

TEST_F(QuantizeRuns, HiddenStatesInAFileChangeNothing) {
  quantize(options("memory"));
  QuantizeOptions o = options("file");
  o.state_memory = 0.0;
  quantize(o);
  EXPECT_EQ(bytes("file/model.safetensors"), bytes("memory/model.safetensors"));
}

TEST(MapValues, ZerosThatKeepWhatIsWrittenAndErrorsThatNameTheFolder) {
  const TemporaryFolder folder;
  const Values values = map_values(100000, folder / "");
  for (int64_t i = 0; i < 100000; i += 999) {
    ASSERT_EQ(values.get()[i], 0.0f);
    values.get()[i] = static_cast<float>(i);
  }
  for (int64_t i = 0; i < 100000; i += 999) ASSERT_EQ(values.get()[i], static_cast<float>(i));
  EXPECT_TRUE(std::filesystem::is_empty(folder / "")) << "it has no name";
  const auto message = [](int64_t count, const std::filesystem::path& where) -> std::string {
    try {
      map_values(count, where);
    } catch (const Error& error) {
      return error.what();
    }
    return "(no error)";
  };
  EXPECT_THAT(message(10, folder / "none"), testing::HasSubstr("none: cannot make a file"));
  EXPECT_THAT(message(int64_t{1} << 58, folder / ""), testing::HasSubstr("bytes for hidden states"));
}

TEST_F(QuantizeRuns, TheEstimateCountsWithoutWriting) {
  const Json estimate = estimate_quantize(options("never"), *make_cpu_device(2));
  EXPECT_EQ(estimate["tokens"], 8 * 64);
  EXPECT_GT(estimate["seconds"].get<double>(), 0.0);
  EXPECT_GT(estimate["memory_bytes"].get<int64_t>(), 2 * 8 * 64 * 64 * 4);
  EXPECT_FALSE(std::filesystem::exists(folder_ / "never"));
}

TEST_F(QuantizeRuns, SampledTextIsTheSeeds) {
  const auto engine = load("source");
  const std::vector<int32_t> starts = {1, 2, 3};
  const auto draw = [&](uint64_t seed) {
    return sample_text(engine->model(), engine->ops(), starts, {.samples = 5, .length = 24, .seed = seed});
  };
  const std::vector<int32_t> ids = draw(1);
  ASSERT_EQ(std::ssize(ids), 5 * 24);
  for (const int32_t id : ids) EXPECT_TRUE(id >= 0 && id < engine->config().vocab_size);
  EXPECT_EQ(ids, draw(1));
  EXPECT_NE(ids, draw(2));
  const std::atomic<bool> cancel = true;
  EXPECT_TRUE(
      sample_text(engine->model(), engine->ops(), starts, {.samples = 2, .length = 8, .cancel = &cancel}).empty());

  QuantizeOptions o = options("self");
  o.calibration.clear();
  o.samples = 3;
  o.seq_len = 32;
  EXPECT_LT(quantize(o)["verify_kl"].get<double>(), 1e-3);
}

}  // namespace
}  // namespace paro::calib
