#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <csignal>
#include <cstring>
#include <filesystem>
#include <sstream>
#include <string>
#include <vector>

#include "base/files.h"
#include "base/json.h"
#include "cli_cases.h"
#include "run_paro.h"
#include "tiny_model.h"

namespace paro {
namespace {

std::string some_text(size_t bytes) {
  std::string text;
  for (int i = 0; text.size() < bytes; ++i) text += "the hen and the ear in line " + std::to_string(i * i) + ".\n";
  return text;
}

/// The folders and files that the cases name.
class CliFiles : public testing::Environment {
 public:
  void SetUp() override {
    write_tiny_model(model());
    write_tiny_model(other(), {.seed = 2});
    const Outcome run = run_paro({"quantize", model(), "-o", quantized(), "--method", "rtn", "--group-size", "32"});
    ASSERT_EQ(run.exit_code, 0) << run.err;
    write_file(dir() / "text.txt", some_text(3000));
    write_file(dir() / "short.txt", "a short text");
    write_file(dir() / "text.parquet", "PAR1");
    write_file(dir() / "messages.json", R"([{"role": "user", "content": "hello"}])");
    write_file(dir() / "object.json",
               R"({"messages": [{"role": "user", "content": "hello"}], "add_generation_prompt": false})");
    write_file(dir() / "wrong-messages.json", R"(["hello"])");
    std::filesystem::create_directory(dir() / "empty");

    write_file(copy("broken-config") / "config.json", "{\"model_type\": ");
    write_file(copy("unknown-family") / "config.json", R"({"model_type": "abacus"})");
    std::filesystem::resize_file(copy("truncated") / "model.safetensors", 40'000);
    std::filesystem::remove(copy("no-tokenizer") / "tokenizer.json");
    write_file(copy("no-template") / "tokenizer_config.json", R"({"eos_token": "<|im_end|>"})");
    // An infinity in the first tensor's values.
    const std::filesystem::path weights = copy("not-finite") / "model.safetensors";
    std::string bytes = read_file(weights);
    uint64_t header = 0;
    std::memcpy(&header, bytes.data(), sizeof header);
    for (size_t i = 0; i < 64 * 200; ++i) std::memcpy(bytes.data() + 8 + header + 2 * i, "\x00\x7c", 2);
    write_file(weights, bytes);
  }
  static const std::filesystem::path& dir() {
    static const TemporaryFolder folder;
    return folder.path();
  }
  static std::filesystem::path model() { return dir() / "model"; }
  static std::filesystem::path other() { return dir() / "other"; }
  static std::filesystem::path quantized() { return dir() / "quantized"; }

 private:
  static std::filesystem::path copy(const std::string& name) {
    std::filesystem::copy(model(), dir() / name, std::filesystem::copy_options::recursive);
    return dir() / name;
  }
};

const auto* const kFiles = testing::AddGlobalTestEnvironment(new CliFiles);

/// Settings of the person who runs the tests stay out of them.
const std::vector<std::string> kEnvironment = {"HF_ENDPOINT=http://127.0.0.1:9", "HF_HOME=/nonexistent", "NO_COLOR="};

Outcome paro_with(std::vector<std::string> arguments, RunOptions options = {}) {
  options.environment.insert(options.environment.begin(), kEnvironment.begin(), kEnvironment.end());
  return run_paro(arguments, options);
}

void expect_one_error_line(const Outcome& run) {
  EXPECT_TRUE(run.err.starts_with("paro: error: ")) << run.err;
  EXPECT_EQ(std::count(run.err.begin(), run.err.end(), '\n'), 1) << run.err;
}

TEST(Cli, Cases) {
  const std::vector<CliCase> cases =
      read_cli_cases(std::filesystem::path(PARO_SOURCE_DIR) / "tests" / "cli", {{"$MODEL", CliFiles::model()},
                                                                                {"$OTHER", CliFiles::other()},
                                                                                {"$QUANTIZED", CliFiles::quantized()},
                                                                                {"$DIR", CliFiles::dir()}});
  ASSERT_GT(cases.size(), 50u);
  for (const CliCase& c : cases) {
    SCOPED_TRACE(c.file + ":" + std::to_string(c.line) + ": " + c.name);
    const Outcome run =
        paro_with(c.arguments, {.input = c.input, .stdout_path = c.stdout_path, .stdin_closed = c.stdin_closed});
    EXPECT_EQ(run.exit_code, c.exit_code) << run.out << run.err;
    if (!c.out_is.empty()) {
      EXPECT_EQ(run.out, c.out_is[0]);
    }
    for (const std::string& part : c.out_has)
      EXPECT_NE(run.out.find(part), std::string::npos) << part << "\n" << run.out;
    for (const std::string& part : c.err_has)
      EXPECT_NE(run.err.find(part), std::string::npos) << part << "\n" << run.err;
    if (c.exit_code != 0) {
      expect_one_error_line(run);
      EXPECT_EQ(run.out, "");
    }
  }
}

TEST(Cli, NoCommandShowsTheOverviewOnStderr) {
  const Outcome run = paro_with({});
  EXPECT_EQ(run.exit_code, 2);
  EXPECT_EQ(run.out, "");
  EXPECT_NE(run.err.find("usage: paro COMMAND"), std::string::npos);
}

TEST(Cli, EveryCommandHasAnExample) {
  const Outcome overview = paro_with({"help"});
  std::istringstream lines(overview.out);
  std::string line;
  int commands = 0;
  while (std::getline(lines, line)) {
    if (!line.starts_with("  ") || line.size() < 14) continue;
    const std::string name = line.substr(2, line.find(' ', 2) - 2);
    const Outcome help = paro_with({name, "--help"});
    EXPECT_EQ(help.exit_code, 0) << name;
    EXPECT_NE(help.out.find("Example:\n  "), std::string::npos) << name;
    EXPECT_NE(help.out.find("--device"), std::string::npos) << name;
    ++commands;
  }
  EXPECT_GE(commands, 8);
}

Json generate_json(std::vector<std::string> more) {
  std::vector<std::string> arguments = {"generate", CliFiles::model(), "--prompt", "the hen", "--json", "--quiet"};
  arguments.insert(arguments.end(), more.begin(), more.end());
  const Outcome run = paro_with(arguments);
  EXPECT_EQ(run.exit_code, 0) << run.err;
  return run.exit_code == 0 ? Json::parse(run.out) : Json::object();
}

TEST(Cli, GenerateIsReproducibleAndTimed) {
  const Json greedy = generate_json({"-n", "12", "--ignore-eos"});
  EXPECT_EQ(greedy["completion_tokens"], 12);
  EXPECT_EQ(greedy["finish_reason"], "length");
  EXPECT_EQ(greedy["temperature"], 0.0);
  EXPECT_GT(greedy["timings"]["decode_tokens_per_second"].get<double>(), 0.0);
  EXPECT_GT(greedy["timings"]["prefill_tokens_per_second"].get<double>(), 0.0);
  EXPECT_EQ(greedy["ids"], generate_json({"-n", "12", "--ignore-eos"})["ids"]);
  const Json one = generate_json({"-n", "12", "--ignore-eos", "--seed", "5"});
  EXPECT_EQ(one["ids"], generate_json({"-n", "12", "--ignore-eos", "--seed", "5"})["ids"]);
  EXPECT_NE(one["ids"], generate_json({"-n", "12", "--ignore-eos", "--seed", "6"})["ids"]);
  // Threads change neither the arithmetic of a product nor its result.
  EXPECT_EQ(one["ids"], generate_json({"-n", "12", "--ignore-eos", "--seed", "5", "--threads", "1"})["ids"]);
}

/// Byte offsets at which the characters of a UTF-8 text begin, and its end.
std::vector<size_t> character_starts(const std::string& text) {
  std::vector<size_t> starts;
  for (size_t i = 0; i < text.size(); ++i) {
    if ((static_cast<unsigned char>(text[i]) & 0xc0) != 0x80) starts.push_back(i);
  }
  starts.push_back(text.size());
  return starts;
}

TEST(Cli, GenerateStopsAtAStopString) {
  const std::vector<std::string> sampled = {"-n", "40", "--ignore-eos", "--seed", "3"};
  const Json whole = generate_json(sampled);
  const auto text = whole["text"].get<std::string>();
  const std::vector<size_t> starts = character_starts(text);
  int tried = 0;
  for (size_t first = 4; first + 3 < starts.size(); first += 7) {
    const std::string stop = text.substr(starts[first], starts[first + 3] - starts[first]);
    if (stop.find('\0') != std::string::npos) continue;  // no argument holds it
    std::vector<std::string> arguments = sampled;
    arguments.insert(arguments.end(), {"--stop", "not in there", "--stop", stop});
    const Json stopped = generate_json(arguments);
    EXPECT_EQ(stopped["finish_reason"], "stop") << stop;
    EXPECT_EQ(stopped["text"], text.substr(0, text.find(stop))) << stop;
    const auto count = stopped["ids"].size();
    ASSERT_LE(count, whole["ids"].size());
    EXPECT_TRUE(std::equal(stopped["ids"].begin(), stopped["ids"].end(), whole["ids"].begin()));
    ++tried;
  }
  EXPECT_GE(tried, 2) << text;
}

TEST(Cli, GenerateStopsAtTheContext) {
  const Json full = generate_json({"--ignore-eos", "--context", "20"});
  EXPECT_EQ(full["finish_reason"], "context");
  // The last token is known before there would have to be room for it.
  EXPECT_EQ(full["prompt_tokens"].get<int>() + full["completion_tokens"].get<int>(), 21);
}

TEST(Cli, GenerateStreamsTheSameTextAsItsJson) {
  const Json document = generate_json({"-n", "20", "--ignore-eos"});
  const Outcome run =
      paro_with({"generate", CliFiles::model(), "--prompt", "the hen", "-n", "20", "--ignore-eos", "--quiet"});
  EXPECT_EQ(run.exit_code, 0);
  EXPECT_EQ(run.err, "");
  EXPECT_EQ(run.out, document["text"].get<std::string>() + "\n");
}

TEST(Cli, PerplexityOfTheLogitsFile) {
  const std::string file = CliFiles::dir() / "logits.f32";
  const Outcome ids_run = paro_with({"tokenize", CliFiles::model(), "--no-special"}, {.input = some_text(150)});
  const Json ids = Json::parse(ids_run.out);
  std::string list;
  constexpr size_t kWindow = 32;
  ASSERT_GE(ids.size(), kWindow);
  for (size_t i = 0; i < kWindow; ++i) list += (i == 0 ? "" : ",") + std::to_string(ids[i].get<int>());
  const Outcome run = paro_with({"logits", CliFiles::model(), "--ids", list, "-o", file, "--json", "--quiet"});
  ASSERT_EQ(run.exit_code, 0) << run.err;
  const auto vocab = static_cast<size_t>(tiny_vocab_size());
  const std::string bytes = read_file(file);
  ASSERT_EQ(bytes.size(), kWindow * vocab * sizeof(float));
  std::vector<float> logits(kWindow * vocab);
  std::memcpy(logits.data(), bytes.data(), bytes.size());
  double loss = 0.0;
  for (size_t row = 0; row + 1 < kWindow; ++row) {
    double sum = 0.0;
    for (size_t i = 0; i < vocab; ++i) sum += std::exp(static_cast<double>(logits[row * vocab + i]));
    loss += std::log(sum) - logits[row * vocab + ids[row + 1].get<size_t>()];
  }
  write_file(CliFiles::dir() / "window.txt", some_text(150));
  const Outcome eval =
      paro_with({"eval", CliFiles::model(), "--task", "perplexity", "--text", CliFiles::dir() / "window.txt",
                 "--window", "32", "--limit-tokens", "32", "--json", "--quiet"});
  ASSERT_EQ(eval.exit_code, 0) << eval.err;
  const Json result = Json::parse(eval.out);
  EXPECT_EQ(result["tokens"], kWindow - 1);
  EXPECT_EQ(result["windows"], 1);
  const double expected = std::exp(loss / (kWindow - 1));
  EXPECT_NEAR(result["perplexity"].get<double>(), expected, 1e-5 * expected);
}

TEST(Cli, DivergenceFromItselfIsZeroAndFromAnotherIsNot) {
  const std::string text = CliFiles::dir() / "text.txt";
  const auto kl = [&](const std::string& teacher) {
    const Outcome run = paro_with({"eval", CliFiles::model(), "--task", "perplexity,kl", "--teacher", teacher, "--text",
                                   text, "--window", "64", "--json", "--quiet"});
    EXPECT_EQ(run.exit_code, 0) << run.err;
    return Json::parse(run.out);
  };
  const Json same = kl(CliFiles::model());
  EXPECT_EQ(same["kl_mean"], 0.0);
  EXPECT_EQ(same["top1_agreement"], 1.0);
  EXPECT_EQ(same["perplexity_ratio"], 1.0);
  const Json other = kl(CliFiles::other());
  EXPECT_GT(other["kl_mean"].get<double>(), 0.01);
  EXPECT_GE(other["kl_p99"].get<double>(), other["kl_mean"].get<double>());
  EXPECT_LT(other["top1_agreement"].get<double>(), 1.0);
  EXPECT_EQ(other["positions"], other["windows"].get<int>() * 64);
}

TEST(Cli, DivergenceTellsPrecisionsApart) {
  const auto kl = [&](std::vector<std::string> flags) {
    std::vector<std::string> arguments = {
        "eval",   CliFiles::quantized(),        "--task",   "kl", "--teacher", CliFiles::model(),
        "--text", CliFiles::dir() / "text.txt", "--window", "64", "--json"};
    arguments.insert(arguments.end(), flags.begin(), flags.end());
    const Outcome run = paro_with(arguments);
    EXPECT_EQ(run.exit_code, 0) << run.err;
    return Json::parse(run.out);
  };
  const Json all = kl({"--precision-tokens", "all", "--kv-bits", "8", "--head-bits", "4"});
  const Json& precision = all["precision"];
  EXPECT_EQ(precision["tokens"], all["positions"]);
  EXPECT_GT(precision["kl_weights"].get<double>(), 0.0);
  double sum = precision["kl_weights"].get<double>();
  for (const auto& [key, what] : {std::pair{"activations", "int8 activations"}, std::pair{"head", "4-bit head"},
                                  std::pair{"kv_cache", "8-bit KV cache"}}) {
    const Json& part = precision[key];
    EXPECT_EQ(part["what"], what);
    const auto added = part["kl_added"].get<double>();
    EXPECT_NEAR(part["share"].get<double>(), added / precision["kl_weights"].get<double>(), 1e-9);
    sum += added;
  }
  EXPECT_NEAR(sum, all["kl_mean"].get<double>(), 1e-9) << "over the whole text they lead to what was measured";

  const Json first = kl({"--precision-tokens", "130", "--activations", "f16"});
  EXPECT_EQ(first["precision"]["tokens"], 128) << "whole windows";
  EXPECT_EQ(first["precision"]["activations"]["what"], "f16 activations");
  EXPECT_FALSE(first["precision"].contains("head")) << "as stored";
  EXPECT_FALSE(kl({"--precision-tokens", "0"}).contains("precision"));
  EXPECT_FALSE(kl({"--activations", "f32"}).contains("precision")) << "nothing is rounded";
}

TEST(Cli, InspectJson) {
  const Outcome run = paro_with({"inspect", CliFiles::model(), "--json", "--tensors"});
  ASSERT_EQ(run.exit_code, 0) << run.err;
  const Json document = Json::parse(run.out);
  EXPECT_EQ(document["family"], "llama");
  EXPECT_EQ(document["bits_per_parameter"], 16.0);
  EXPECT_EQ(document["tensors"].size(), 20u);
  EXPECT_TRUE(document["quantization"].is_null());
  int64_t bytes = 0;
  for (const Json& kind : document["kinds"]) bytes += kind["bytes"].get<int64_t>();
  EXPECT_EQ(document["weights_bytes"], bytes);
}

TEST(Cli, BenchJson) {
  const Outcome run = paro_with({"bench", CliFiles::model(), "--rows", "4", "--contexts", "0,8", "--tokens", "4",
                                 "--repeats", "1", "--json", "--quiet", "--profile"});
  ASSERT_EQ(run.exit_code, 0) << run.err;
  const Json document = Json::parse(run.out);
  for (const char* key : {"model", "device", "isa", "threads", "weights_bytes", "prefill", "decode", "machine"}) {
    EXPECT_TRUE(document.contains(key)) << key;
  }
  EXPECT_EQ(document["prefill"][0]["rows"], 4);
  EXPECT_EQ(document["decode"][1]["context"], 8);
  for (const char* key : {"tokens_per_second", "ms", "share_of_limit"}) {
    EXPECT_GT(document["decode"][0][key].get<double>(), 0.0) << key;
  }
  EXPECT_GT(document["machine"]["read_gbps"].get<double>(), 0.0);
  EXPECT_GT(document["machine"]["gmacs"].get<double>(), 0.0);
  for (const char* key : {"resident_bytes", "peak_bytes", "weights_bytes", "kv_bytes", "scratch_bytes"}) {
    EXPECT_GT(document["memory"][key].get<int64_t>(), 0) << key;
  }
  EXPECT_GT(document["memory"]["ratio"].get<double>(), 0.0);
  EXPECT_EQ(document["default_bodies"], 0);
  EXPECT_EQ(document["default_bodies_by_operation"],
            (Json{{"linears", 0}, {"attend", 0}, {"gated_mlp", 0}, {"norm_linears", 0}, {"norm_gated_mlp", 0}}));
  for (const char* phase : {"prefill", "decode"}) {
    for (const Json& point : document[phase]) {
      double share = 0.0;
      bool head = false;
      for (const Json& op : point["profile"]["operations"]) {
        share += op["share_of_time"].get<double>();
        if (op["name"] != "multiply head") continue;
        head = true;
        EXPECT_GT(op["bytes"].get<int64_t>(), 0);
        EXPECT_GT(op["int8_macs"].get<int64_t>() + op["f32_macs"].get<int64_t>(), 0);
        EXPECT_GT(op["share_of_limit"].get<double>(), 0.0);
      }
      EXPECT_TRUE(head) << phase;
      EXPECT_GT(share, 0.0);
      EXPECT_LE(share, 1.0);
    }
  }
}

TEST(Cli, BenchSaysWhatItLeavesOut) {
  const Outcome run =
      paro_with({"bench", CliFiles::model(), "--tokens", "2", "--repeats", "1", "--quiet", "--profile"});
  ASSERT_EQ(run.exit_code, 0) << run.err;
  EXPECT_NE(run.out.find("left out: prefill 512, prefill 2048, decode at 512, decode at 4096, decode at 16384; the "
                         "model's context holds 256"),
            std::string::npos)
      << run.out;
  EXPECT_NE(run.out.find("multiply down"), std::string::npos) << run.out;
}

TEST(Cli, AReaderThatLeavesEndsTheProgramQuietly) {
  const Outcome run = paro_with({"generate", CliFiles::model(), "--prompt", "the", "--ignore-eos", "--quiet"},
                                {.close_stdout_after = 1});
  EXPECT_EQ(run.exit_code, 0);
  EXPECT_EQ(run.err, "");
}

#ifndef PARO_TORCH
// What needs LibTorch names the flag that asked for it and how to get it, and leaves nothing behind.
TEST(Cli, TrainingWithoutLibTorchSaysHowToGetIt) {
  const std::string output = (CliFiles::dir() / "trained").string();
  const std::vector<std::vector<std::string>> requests = {
      {"--preset", "paper"}, {"--preset", "standard"}, {"--method", "efficientqat"}, {"--tune-epochs", "1"}};
  for (const std::vector<std::string>& request : requests) {
    std::vector<std::string> arguments = {"quantize", CliFiles::model().string(), "-o", output, "--group-size", "32"};
    arguments.insert(arguments.end(), request.begin(), request.end());
    const Outcome run = run_paro(arguments);
    EXPECT_EQ(run.exit_code, 3) << run.err;
    EXPECT_EQ(std::count(run.err.begin(), run.err.end(), '\n'), 1) << run.err;
    for (const std::string& part : {request.front(), std::string("-DPARO_TORCH=ON"), std::string("libtorch-dev")})
      EXPECT_NE(run.err.find(part), std::string::npos) << run.err;
    EXPECT_FALSE(std::filesystem::exists(output));
  }
}
#endif

TEST(Cli, ControlCEndsCleanly) {
  const std::filesystem::path model = CliFiles::dir() / "long";
  write_tiny_model(model, {.layers = 8, .max_positions = 100'000});
  const Outcome run =
      paro_with({"generate", model, "--prompt", "the", "--ignore-eos", "--quiet"}, {.signal_after_output = SIGINT});
  EXPECT_EQ(run.exit_code, 128 + SIGINT);
  EXPECT_EQ(run.err, "paro: interrupted\n");
}

}  // namespace
}  // namespace paro
