// paro logits: the logits of every position of a list of ids, raw: for comparison with other software.
#include <bit>
#include <chrono>

#include "base/error.h"
#include "base/files.h"
#include "cli/command.h"
#include "cli/interrupt.h"
#include "cli/model_flags.h"
#include "cli/output.h"

namespace paro::cli {
namespace {

static_assert(std::endian::native == std::endian::little, "the file is little-endian");

// Rows of logits in memory at a time.
constexpr int64_t kRows = 256;

struct Flags {
  ModelFlags model;
  std::vector<int64_t> ids;
  std::optional<std::string> text;
  std::string output;
  bool json = false;
};

std::vector<int32_t> wanted_ids(const Flags& flags, const Engine& engine) {
  if (flags.text) {
    std::vector<int32_t> ids = engine.tokenizer().encode(*flags.text);
    if (ids.empty()) fail_usage("--text: expected some text, found none");
    return ids;
  }
  std::vector<int32_t> ids;
  for (const int64_t id : flags.ids) {
    if (id < 0 || id >= engine.config().vocab_size) {
      fail_input("--ids: token id {} is outside the vocabulary of {}", id, engine.config().vocab_size);
    }
    ids.push_back(static_cast<int32_t>(id));
  }
  return ids;
}

int run(const Flags& flags, const CommonFlags& common) {
  if (flags.ids.empty() == !flags.text) fail_usage("expected --ids or --text");
  EngineOptions options = flags.model.engine_options(common);
  options.tokenizer = flags.text.has_value();
  const std::unique_ptr<Engine> engine = Engine::load(flags.model.model, options);
  const std::vector<int32_t> ids = wanted_ids(flags, *engine);
  const auto count = static_cast<int64_t>(ids.size());
  if (count > engine->config().context_length()) {
    fail_input("{} ids; the context of {} holds {}", count, flags.model.model, engine->config().context_length());
  }
  AtomicFile file(flags.output);
  const auto start = std::chrono::steady_clock::now();
  const std::unique_ptr<KvCache> cache = engine->make_cache(count);
  Ops& ops = engine->ops();
  std::vector<int64_t> rows;
  for (int64_t begin = 0; begin < count; begin += kRows) {
    if (interrupt_flag()) throw Interrupted{};
    const int64_t part = std::min(kRows, count - begin);
    rows.resize(static_cast<size_t>(part));
    for (int64_t i = 0; i < part; ++i) rows[static_cast<size_t>(i)] = i;
    const Segment segment = {cache.get(), begin, part};
    const OpsScope scope(ops);
    const std::span<const int32_t> part_ids(ids.data() + begin, static_cast<size_t>(part));
    const Tensor logits = engine->model().forward(ops, {part_ids, {&segment, 1}}, rows);
    file.write(logits.data, static_cast<size_t>(logits.rows * logits.dim) * sizeof(float));
  }
  file.commit();
  if (flags.json) {
    write_json({{"file", flags.output},
                {"tokens", count},
                {"vocab", engine->config().vocab_size},
                {"seconds", std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count()}});
  }
  return 0;
}

}  // namespace

Command logits_command() {
  return {"logits", "write the logits of every position as raw little-endian float32 [tokens, vocab]",
          "paro logits MODEL --ids 1,2,3 -o logits.f32", [](CLI::App& app, const CommonFlags& common) {
            const auto flags = std::make_shared<Flags>();
            flags->model.add(app, false);
            app.add_option("--ids", flags->ids, "token ids, with commas between")->delimiter(',');
            app.add_option("--text", flags->text, "a text instead, tokenized with its special tokens");
            app.add_option("-o,--output", flags->output, "the file")->required();
            app.add_flag("--json", flags->json, "prints file, tokens, vocab, seconds");
            return [flags, &common] { return run(*flags, common); };
          }};
}

}  // namespace paro::cli
