// Encoding and decoding speed on one core, bytes of text a second: of a text seen for the first time by a new tokenizer
// (encode_first), and again and again. PARO_BENCH_TOKENIZER (a folder with tokenizer.json)
// and PARO_BENCH_TEXT (a file) choose what is measured; without them, a tiny tokenizer on the documentation.
#include <benchmark/benchmark.h>

#include <time.h>

#include <cstdlib>
#include <thread>

#include "base/files.h"
#include "io/tokenizer/tokenizer.h"

namespace paro {
namespace {

const std::string kSource = PARO_SOURCE_DIR;

Json tokenizer_document() {
  if (const char* folder = std::getenv("PARO_BENCH_TOKENIZER"))
    return read_json(std::string(folder) + "/tokenizer.json");
  const Json fixture = read_json(kSource + "/tests/fixtures/tokenizer/tokenizers.json");
  Json document = fixture["tokenizers"][0];
  document["model"] = fixture["models"][document["model"].get<std::string>()];
  return document;
}

const Tokenizer& tokenizer() {
  static const auto made = Tokenizer::from_json(tokenizer_document(), nullptr, "bench");
  return *made;
}

std::string text() {
  const char* file = std::getenv("PARO_BENCH_TEXT");
  return read_file(file != nullptr ? file : kSource + "/docs/architecture.md");
}

// Processor time of this thread.
double thread_seconds() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) * 1e-9;
}

void load(benchmark::State& state) {
  const Json document = tokenizer_document();
  for (auto _ : state) benchmark::DoNotOptimize(Tokenizer::from_json(document, nullptr, "bench"));
}
BENCHMARK(load);

void encode_first(benchmark::State& state) {
  const std::string input = text();
  const Json document = tokenizer_document();
  for (auto _ : state) {
    const auto fresh = Tokenizer::from_json(document, nullptr, "bench");
    std::thread([&] {  // words are remembered by thread
      const double start = thread_seconds();
      benchmark::DoNotOptimize(fresh->encode(input));
      state.SetIterationTime(thread_seconds() - start);
    })
        .join();
  }
  state.SetBytesProcessed(state.iterations() * static_cast<int64_t>(input.size()));
}
BENCHMARK(encode_first)->UseManualTime();

void encode(benchmark::State& state) {
  const std::string input = text();
  tokenizer();
  for (auto _ : state) benchmark::DoNotOptimize(tokenizer().encode(input));
  state.SetBytesProcessed(state.iterations() * static_cast<int64_t>(input.size()));
}
BENCHMARK(encode);

void decode(benchmark::State& state) {
  const std::string input = text();
  const std::vector<int32_t> ids = tokenizer().encode(input);
  for (auto _ : state) benchmark::DoNotOptimize(tokenizer().decode(ids));
  state.SetBytesProcessed(state.iterations() * static_cast<int64_t>(input.size()));
}
BENCHMARK(decode);

}  // namespace
}  // namespace paro
