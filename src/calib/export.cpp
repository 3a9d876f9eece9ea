#include "calib/export.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include "base/dtype.h"
#include "base/error.h"
#include "base/files.h"
#include "base/progress.h"
#include "io/safetensors.h"
#include "quant/method.h"

namespace paro::calib {
namespace {

constexpr int64_t kChunk = int64_t{1} << 16;

/// A tensor of the source in F16, converted chunk by chunk.
TensorToWrite as_f16(const WeightSource& source, const TensorInfo& info) {
  return {info.name, DType::kF16, info.shape, [&source, info](const std::function<void(const void*, size_t)>& sink) {
            const LoadedTensor tensor = source.load(info.name);
            const int64_t elements = tensor.view.elements();
            std::vector<float> values(static_cast<size_t>(std::min(elements, kChunk)));
            std::vector<uint16_t> halves(values.size());
            for (int64_t begin = 0; begin < elements; begin += kChunk) {
              const int64_t count = std::min(kChunk, elements - begin);
              copy_as_f32(tensor.view, begin, count, values.data());
              for (int64_t i = 0; i < count; ++i) {
                const float value = values[static_cast<size_t>(i)];
                halves[static_cast<size_t>(i)] = f32_to_f16(value);
                if (!std::isfinite(f16_to_f32(halves[static_cast<size_t>(i)])))
                  fail_input("{}: tensor \"{}\": expected values that fit into F16 (up to 65504), found {}",
                             source.place(info.name), info.name, value);
              }
              sink(halves.data(), static_cast<size_t>(count) * sizeof(uint16_t));
            }
          }};
}

bool is_float(DType type) {
  return type == DType::kF64 || type == DType::kF32 || type == DType::kF16 || type == DType::kBF16;
}

/// A tensor of a finished layer's file, copied.
TensorToWrite copied(std::shared_ptr<const SafetensorsFile> file, const TensorInfo& info) {
  return {info.name, info.dtype, info.shape, [file, info](const std::function<void(const void*, size_t)>& sink) {
            const LoadedTensor tensor = file->load(info.name);
            sink(tensor.view.data, static_cast<size_t>(tensor.view.bytes()));
          }};
}

void write_tokenizer_files(const std::filesystem::path& output, const Checkpoint& source) {
  if (std::filesystem::is_directory(source.path)) {
    // Byte for byte: readers of these files are picky about more than their meaning.
    for (const char* name :
         {"tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "vocab.json",
          "merges.txt", "tokenizer.model", "chat_template.jinja", "generation_config.json"}) {
      const auto file = source.path / name;
      if (std::filesystem::is_regular_file(file)) write_file(output / name, read_file(file));
    }
    return;
  }
  if (!source.tokenizer_json.is_null()) write_file(output / "tokenizer.json", dump_json(source.tokenizer_json, 2));
  Json tokenizer_config = source.tokenizer_config;
  if (!source.chat_template.empty() && tokenizer_config.is_object() && !tokenizer_config.contains("chat_template"))
    tokenizer_config["chat_template"] = source.chat_template;
  if (!tokenizer_config.is_null()) write_file(output / "tokenizer_config.json", dump_json(tokenizer_config, 2));
  if (!source.generation_config.is_null())
    write_file(output / "generation_config.json", dump_json(source.generation_config, 2));
}

std::string loss_table(const Json& layers) {
  std::string table = "| layer | linears | rounding to nearest | written | fit |\n|---|---|---|---|---|\n";
  for (size_t layer = 0; layer < layers.size(); ++layer)
    for (const Json& set : layers[layer]["sets"]) {
      std::string linears;
      for (const Json& name : set["linears"]) {
        const std::string full = name.get<std::string>();
        linears += (linears.empty() ? "" : ", ") + full.substr(full.rfind('.') + 1);
      }
      table += fmt::format("| {} | {} | {:.2e} | {:.2e} | {:.3f} |\n", layer, linears, set["rtn_loss"].get<double>(),
                           set["loss"].get<double>(), set["fit"].get<double>());
    }
  return table;
}

}  // namespace

void export_tensors(const QuantizeOptions& options, const Checkpoint& source, const ModelConfig& config,
                    const WorkFolder& work) {
  std::vector<TensorToWrite> tensors;
  std::set<std::string> quantized;
  std::set<std::string> written;
  for (int64_t layer = 0; layer < config.layers; ++layer) {
    const Json report = work.layer_report(layer);
    for (const Json& linear : report["linears"]) quantized.insert(linear["name"].get<std::string>());
    if (report["linears"].empty()) continue;
    const std::shared_ptr<const SafetensorsFile> file = SafetensorsFile::open(work.layer_file(layer));
    for (const TensorInfo& info : file->tensors()) {
      tensors.push_back(copied(file, info));
      written.insert(info.name);
    }
  }
  for (const TensorInfo& info : source.weights->tensors()) {
    const size_t dot = info.name.rfind('.');
    if (dot != std::string::npos && quantized.contains(info.name.substr(0, dot))) continue;
    if (written.contains(info.name)) continue;
    if (config.tied_embeddings && info.name == "lm_head.weight") continue;
    if (!is_float(info.dtype)) continue;
    if (info.name.ends_with("rotary_emb.inv_freq")) continue;
    tensors.push_back(as_f16(*source.weights, info));
  }
  write_safetensors_folder(options.output, tensors);
  write_tokenizer_files(options.output, source);
}

void export_config(const QuantizeOptions& options, const Checkpoint& source, const Json& layers) {
  WrittenLinears linears;
  for (const Json& layer : layers) {
    for (const Json& linear : layer["linears"]) linears.quantized.push_back(linear["name"].get<std::string>());
    for (const Json& name : layer["kept"]) linears.kept.push_back(name.get<std::string>());
  }
  const QuantizationConfig quantization = options.quantization();
  Json config = source.config;
  config["quantization_config"] = require_format(quantization.method, "--format").describe(quantization, linears);
  if (options.format != "paroquant") {
    config.erase("dtype");
    config["torch_dtype"] = "float16";
  }
  if (options.format == "gptq")
    write_file(options.output / "quantize_config.json", dump_json(config["quantization_config"], 2));
  write_file(options.output / "config.json", dump_json(config, 2));
}

void export_card(const QuantizeOptions& options, const Checkpoint& source, const Json& layers,
                 const ExportedFigures& figures) {
  const bool own = options.format == "paroquant";
  std::string card = fmt::format("---\nlibrary_name: {}\ntags:\n- {}\n- {}-bit\n---\n\n", own ? "paro" : "transformers",
                                 options.format, options.bits);
  card += fmt::format("# {}, {} bits in the {} format\n\nMade by `paro quantize` from `{}` in {}.\n\n",
                      source.path.stem().string(), options.bits,
                      own                       ? "ParoQuant"
                      : options.format == "awq" ? "AWQ"
                                                : "GPTQ",
                      source.name, duration_text(figures.seconds));
  card += "## Settings\n\n```json\n" + dump_json(options.settings(), 2) + "\n```\n\n";
  card += fmt::format(
      "Reopened after writing: mean KL to the logits of the quantizer's own stream {:.1e} nats with f32 activations, "
      "{:.1e} with int8.\n",
      figures.verify_kl, figures.verify_kl_int8);
  if (figures.transform.contains("residual_loss"))
    card += fmt::format(
        "\nA rotation of the residual stream is merged into the weights: expected rounding error {:.3f} of "
        "that without.\n",
        figures.transform["residual_loss"].get<double>());
  if (figures.transform.contains("values_loss"))
    card += fmt::format(
        "\nRotations of the heads' values are merged into v and o: expected rounding error {:.3f} of that "
        "without.\n",
        figures.transform["values_loss"].get<double>());
  if (!figures.tuning.is_null())
    card += fmt::format("\nTuned end to end: held-out loss {:.4f} before, {:.4f} after.\n",
                        figures.tuning["loss_before"].get<double>(), figures.tuning["loss_after"].get<double>());
  if (options.trains_layers())
    card += "\n## Losses\n\nHeld-out loss of each layer's output: rounded to nearest, as written, and their ratio.\n\n" +
            loss_table(layers);
  else if (options.method != Method::kRtn)
    card += fmt::format(
                "\n## Losses\n\nSquared error of each set's output relative to its energy on the calibration text; "
                "{}.\n\n",
                options.method == Method::kAwq ? "fit: expected loss with the scales over without"
                                               : "fit: expected rounding error after the rotation fit over before") +
            loss_table(layers);
  write_file(options.output / "README.md", card);
}

}  // namespace paro::calib
