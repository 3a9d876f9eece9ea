#include "calib/export.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include "base/dtype.h"
#include "base/error.h"
#include "base/files.h"
#include "base/progress.h"
#include "calib/target_bits.h"
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

std::string calibration_table(const Json& calibration) {
  if (calibration["files"].empty()) return "";
  std::string table =
      "## Calibration text\n\n| file | weight | documents | tokens read | windows drawn |\n|---|---|---|---|---|\n";
  for (const Json& file : calibration["files"])
    table +=
        fmt::format("| {} | {:.4g} | {} | {} | {} |\n", file["file"].get<std::string>(), file["weight"].get<double>(),
                    file["documents"].get<int64_t>(), file["tokens"].get<int64_t>(), file["windows"].get<int64_t>());
  return table + fmt::format("\n{} more windows were held out: nothing was fitted to them.\n\n",
                             calibration["held_out"].get<int64_t>());
}

std::string quality_text(const Json& quality) {
  if (!quality.is_object()) return "";
  std::string text = "\n| against full precision | mean KL, nats | perplexity ratio |\n|---|---|---|\n";
  for (const auto& [name, key] : {std::pair("calibration text", "calibration"), std::pair("held-out text", "held_out")})
    text += fmt::format("| {} | {:.4f} | {:.4f} |\n", name, quality[key]["kl"].get<double>(),
                        quality[key]["perplexity_ratio"].get<double>());
  return text;
}

/// What merged rotations promise; "" without them.
std::string transform_text(const Json& transform) {
  std::string text;
  if (transform.contains("residual_loss"))
    text += fmt::format(
        "\nA rotation of the residual stream is merged into the weights: expected rounding error {:.3f} of "
        "that without.\n",
        transform["residual_loss"].get<double>());
  if (transform.contains("values_loss"))
    text += fmt::format(
        "\nRotations of the heads' values are merged into v and o: expected rounding error {:.3f} of that "
        "without.\n",
        transform["values_loss"].get<double>());
  return text;
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

void export_tensors(const QuantizeOptions& options, const Checkpoint& source, const ModelConfig& config,
                    const WorkFolder& work, const EndTables& ends) {
  std::vector<TensorToWrite> tensors;
  std::set<std::string> quantized;
  std::set<std::string> written;
  for (int64_t layer = 0; layer < config.layers; ++layer) {
    const Json report = work.layer_report(layer);
    for (const Json& linear : report["linears"]) quantized.insert(linear["name"].get<std::string>());
    if (report["linears"].empty()) continue;
    const std::shared_ptr<const SafetensorsFile> file = SafetensorsFile::open(work.layer_file(layer));
    for (const TensorInfo& info : file->tensors()) {
      tensors.push_back(copied_tensor(file, info));
      written.insert(info.name);
    }
  }
  for (const EndTables::Named& end : ends.tables()) {
    quantized.insert(end.name);
    for (TensorToWrite& tensor : row_table_tensors(end.name, end.table)) tensors.push_back(std::move(tensor));
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

QuantizationConfig written_quantization(const QuantizeOptions& options, const Json& layers) {
  std::map<int64_t, int64_t> counts;
  std::map<std::string, int64_t> bits;
  for (const Json& layer : layers)
    for (const Json& linear : layer["linears"]) {
      const int64_t width = linear["bits"].get<int64_t>();
      bits[linear["name"].get<std::string>()] = width;
      counts[width] += 1;
    }
  QuantizationConfig quantization = options.quantization();
  // Readers that know one width only are right about most of it: the most frequent one, of equals --bits.
  for (const auto& [width, count] : counts)
    if (count > counts[quantization.bits]) quantization.bits = width;
  for (const auto& [name, width] : bits)
    if (width != quantization.bits) quantization.linear_bits[name] = width;
  return quantization;
}

void export_config(const QuantizeOptions& options, const Checkpoint& source, const Json& layers, EndBits ends) {
  WrittenLinears linears;
  for (const Json& layer : layers) {
    for (const Json& linear : layer["linears"]) linears.quantized.push_back(linear["name"].get<std::string>());
    for (const Json& name : layer["kept"]) linears.kept.push_back(name.get<std::string>());
  }
  const QuantizationConfig quantization = written_quantization(options, layers);
  Json config = source.config;
  config["quantization_config"] = require_format(quantization.method, "--format").describe(quantization, linears);
  if (ends.embedding < 16) config["quantization_config"]["embedding_bits"] = ends.embedding;
  if (ends.head < 16) config["quantization_config"]["head_bits"] = ends.head;
  if (options.format != "paroquant") {
    config.erase("dtype");
    config["torch_dtype"] = "float16";
  }
  if (options.format == "gptq")
    write_file(options.output / "quantize_config.json", dump_json(config["quantization_config"], 2));
  write_file(options.output / "config.json", dump_json(config, 2));
}

void export_card(const QuantizeOptions& options, const Checkpoint& source, const Json& report) {
  const bool own = options.format == "paroquant";
  std::string card = fmt::format("---\nlibrary_name: {}\ntags:\n- {}\n- {}-bit\n---\n\n", own ? "paro" : "transformers",
                                 options.format, options.bits);
  card += fmt::format("# {}, {} bits in the {} format\n\nMade by `paro quantize` from `{}` in {}.\n\n",
                      source.path.stem().string(), options.bits,
                      own                       ? "ParoQuant"
                      : options.format == "awq" ? "AWQ"
                                                : "GPTQ",
                      source.name, duration_text(report["seconds"].get<double>()));
  card += "## Settings\n\n```json\n" + dump_json(report["settings"], 2) + "\n```\n\n";
  card += calibration_table(report["calibration"]);
  card += fmt::format(
      "Reopened after writing: mean KL to the logits of the quantizer's own stream {:.1e} nats with f32 activations, "
      "{:.1e} with int8.\n",
      report["verify_kl"].get<double>(), report["verify_kl_int8"].get<double>());
  card += transform_text(report.value("transform", Json::object()));
  if (report.contains("tuning"))
    card += fmt::format("\nTuned end to end: held-out loss {:.4f} before, {:.4f} after.\n",
                        report["tuning"]["loss_before"].get<double>(), report["tuning"]["loss_after"].get<double>());
  if (report.contains("allocation")) card += target_bits_text(report["allocation"]);
  card += quality_text(report["quality"]);
  for (const Json& sign : report["warnings"])
    card += fmt::format("\n**Warning** ({}): {}. {}.\n", sign["sign"].get<std::string>(),
                        sign["message"].get<std::string>(), sign["advice"].get<std::string>());
  if (options.trains_layers())
    card +=
        "\n## Losses\n\nHeld-out loss of each layer's output: rounded to nearest, as written, and their ratio.\n\n" +
        loss_table(report["layers"]);
  else if (options.method != Method::kRtn)
    card += fmt::format(
                "\n## Losses\n\nSquared error of each set's output relative to its energy on the calibration text; "
                "{}.\n\n",
                options.method == Method::kAwq ? "fit: expected loss with the scales over without"
                                               : "fit: expected rounding error after the rotation fit over before") +
            loss_table(report["layers"]);
  write_file(options.output / "README.md", card);
}

}  // namespace paro::calib
