#include "calib/convert_checkpoint.h"

#include <algorithm>
#include <set>

#include "base/error.h"
#include "base/files.h"
#include "calib/export.h"
#include "io/safetensors.h"
#include "quant/method.h"
#include "quant/plain_weights.h"

namespace paro::calib {
namespace {

void refuse_checkpoint(const std::filesystem::path& output) {
  std::error_code ignored;
  for (const char* name : {"config.json", "model.safetensors", "model.safetensors.index.json"})
    if (std::filesystem::exists(output / name, ignored))
      fail_input("{}: already holds a checkpoint ({}); choose another folder or remove it", output.string(), name);
}

/// The public tensors of one linear; each reads the linear when it is written, so that not all are in memory.
std::vector<TensorToWrite> repacked(const std::shared_ptr<const WeightSource>& source, const LinearShape& linear,
                                    const QuantizationConfig& config) {
  const auto tensors = [source, linear, config] {
    return kParo4Format.tensors(linear.name, read_linear(*source, linear, config), config);
  };
  std::vector<TensorToWrite> result = tensors();
  for (size_t i = 0; i < result.size(); ++i)
    result[i].write = [tensors, i](const std::function<void(const void*, size_t)>& sink) { tensors()[i].write(sink); };
  return result;
}

void write_folder(const Checkpoint& source, const std::vector<TensorToWrite>& tensors, const Json& config,
                  const std::string& card, const std::filesystem::path& output) {
  write_safetensors_folder(output, tensors);
  write_tokenizer_files(output, source);
  write_file(output / "README.md", card);
  write_file(output / "config.json", dump_json(config, 2));
}

std::string card_of(const Checkpoint& source, const std::string& what) {
  return fmt::format("---\nlibrary_name: paro\n---\n\n# {}\n\nMade by `paro export` from `{}`: {}\n",
                     source.short_name(), source.name, what);
}

}  // namespace

void export_plain(const Checkpoint& source, const ModelConfig& config, DType type, const std::filesystem::path& output,
                  ThreadPool& pool) {
  refuse_checkpoint(output);
  const auto weights = plain_weights(config, source.weights, type, &pool);
  std::vector<TensorToWrite> tensors;
  for (const TensorInfo& info : weights->tensors()) tensors.push_back(copied_tensor(weights, info));
  Json json = source.config;
  json.erase("quantization_config");
  const char* const name = type == DType::kF16 ? "float16" : "bfloat16";
  // transformers 4 and 5.
  json["torch_dtype"] = name;
  if (json.contains("dtype")) json["dtype"] = name;
  const std::string what = config.quantization.bits > 0
                               ? fmt::format(
                                     "every weight is the {}-bit weight's value, computed in f64 and rounded "
                                     "once to {}. No quantization is left to run it with.",
                                     config.quantization.bits, name)
                               : fmt::format("every tensor rounded to {}.", name);
  write_folder(source, tensors, json, card_of(source, what), output);
}

void export_repacked(const Checkpoint& source, const ModelConfig& config, const std::filesystem::path& output,
                     ThreadPool& pool) {
  refuse_checkpoint(output);
  QuantizationConfig quantization = config.quantization;
  if (!quantization.method.empty() && quantization.method != kParo4Format.method)
    fail_input("{}: expected a checkpoint in the ParoQuant format, found \"{}\"; hf-fp16, hf-bf16 and gguf take any",
               source.config_place(), quantization.method);
  if (quantization.bits == 0) quantization.bits = 4;
  const std::vector<LinearShape> linears = quantized_linears(config, *source.weights);
  if (linears.empty())
    fail_input("{}: expected a checkpoint with quantized linears to repack, found none; quantize it first",
               source.path.string());
  std::vector<TensorToWrite> tensors;
  std::set<std::string> done;
  for (const LinearShape& linear : linears)
    for (TensorToWrite& tensor : repacked(source.weights, linear, quantization)) {
      if (tensor.name.ends_with(".scales")) quantization.group_size = linear.in / tensor.shape[0];
      if (tensor.name.ends_with(".theta")) quantization.rotations = std::max(quantization.rotations, tensor.shape[0]);
      done.insert(tensor.name);
      tensors.push_back(std::move(tensor));
    }
  const auto weights = plain_weights(config, source.weights, DType::kF16, &pool);
  for (const TensorInfo& info : weights->tensors()) {
    const std::string owner = info.name.substr(0, info.name.rfind('.'));
    if (!done.contains(owner + ".qweight")) tensors.push_back(copied_tensor(weights, info));
  }
  Json json = source.config;
  json["quantization_config"] = kParo4Format.describe(quantization, {});
  write_folder(source, tensors, json, card_of(source, "the same quantized weights in the public ParoQuant format."),
               output);
}

}  // namespace paro::calib
