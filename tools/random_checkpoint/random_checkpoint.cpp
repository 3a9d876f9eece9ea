// paro_random_checkpoint SHAPE FOLDER [dense]: a checkpoint with random weights in the shape of a known model (the
// names of `paro bench --shape`), to measure how checkpoints open. 4-bit, or F16 with "dense". Tokenizer files are not
// made: copy those of a real model of that vocabulary.
#include <cstdio>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/files.h"
#include "io/safetensors.h"
#include "model/random_model.h"

int main(int argc, char** argv) {
  using namespace paro;
  if (argc < 3) {
    std::fprintf(stderr, "usage: paro_random_checkpoint SHAPE FOLDER [dense]\n");
    return 2;
  }
  try {
    const bool dense = argc > 3 && std::string(argv[3]) == "dense";
    const Json config = random_shape_config(argv[1], dense ? RandomFormat::kDense : RandomFormat::kParo4);
    const auto weights = make_random_weights(parse_model_config(config, argv[1]));
    std::vector<TensorToWrite> tensors;
    for (const TensorInfo& info : weights->tensors()) {
      tensors.push_back({info.name, info.dtype, info.shape, [&weights, &info](const auto& sink) {
                           const LoadedTensor tensor = weights->load(info.name);
                           sink(tensor.view.data, static_cast<size_t>(tensor.view.bytes()));
                         }});
    }
    make_writable_folder(argv[2]);
    write_safetensors_folder(argv[2], tensors);
    write_file(std::filesystem::path(argv[2]) / "config.json", config.dump(2));
  } catch (const Error& error) {
    std::fprintf(stderr, "paro_random_checkpoint: error: %s\n", error.what());
    return 1;
  }
  return 0;
}
