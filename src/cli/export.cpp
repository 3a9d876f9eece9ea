// paro export: a model in the formats of other software.
#include "base/error.h"
#include "base/files.h"
#include "base/threads.h"
#include "calib/convert_checkpoint.h"
#include "cli/command.h"
#include "cli/output.h"
#include "model/gguf_export.h"
#include "model/open_checkpoint.h"
#include "quant/plain_weights.h"

namespace paro::cli {
namespace {

namespace fs = std::filesystem;

struct Flags {
  std::string model;
  std::string output;
  std::string format;
  bool json = false;
};

/// PATH itself when it is named like a file, else a file in that folder, named after the model.
fs::path gguf_path(const fs::path& output, const Checkpoint& checkpoint) {
  if (output.extension() == ".gguf") return output;
  make_writable_folder(output);
  return output / (checkpoint.short_name() + "-F16.gguf");
}

fs::path export_to_gguf(const Checkpoint& checkpoint, const ModelConfig& config, const fs::path& output,
                        ThreadPool& pool) {
  const fs::path path = gguf_path(output, checkpoint);
  if (fs::exists(path)) fail_input("{}: is already there; choose another name or remove it", path.string());
  export_gguf(checkpoint, config, *plain_weights(config, checkpoint.weights, DType::kF16, &pool), path);
  return path;
}

int run(const Flags& flags, const CommonFlags& common) {
  const Checkpoint checkpoint = open_checkpoint(flags.model, {}, common.hub());
  const ModelConfig config = parse_model_config(checkpoint.config, checkpoint.config_place());
  ThreadPool pool(common.threads);
  fs::path written = flags.output;
  if (flags.format == "gguf") {
    written = export_to_gguf(checkpoint, config, written, pool);
  } else if (flags.format == "paro") {
    calib::export_repacked(checkpoint, config, written, pool);
  } else {
    calib::export_plain(checkpoint, config, flags.format == "hf-fp16" ? DType::kF16 : DType::kBF16, written, pool);
  }
  if (flags.json) {
    write_json({{"model", flags.model}, {"format", flags.format}, {"output", written.string()}});
  } else {
    write_stdout(written.string() + "\n");
  }
  return 0;
}

}  // namespace

Command export_command() {
  return {"export", "write a model in the formats of other software",
          "paro export QUANTIZED -o DIR --format hf-bf16      # plain weights with the quantized ones' values\n"
          "paro export QUANTIZED -o model.gguf --format gguf",
          [](CLI::App& app, const CommonFlags& common) {
            const auto flags = std::make_shared<Flags>();
            app.add_option("MODEL", flags->model, "checkpoint folder, .gguf file or hub id")->required();
            app.add_option("-o,--output", flags->output, "folder of the new checkpoint; for gguf a file or a folder")
                ->required();
            app.add_option("--format", flags->format,
                           "hf-fp16, hf-bf16 (Hugging Face, not quantized), gguf (F16), paro (repacked ParoQuant)")
                ->required()
                ->check(CLI::IsMember({"hf-fp16", "hf-bf16", "gguf", "paro"}));
            app.add_flag("--json", flags->json, "one JSON document: model, format, output");
            return [flags, &common] { return run(*flags, common); };
          }};
}

}  // namespace paro::cli
