#include "fuzz_input.h"
#include "io/gguf.h"
#include "model/gguf_checkpoint.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const paro::FuzzFile file(data, size);
  paro::expect_no_defect([&] {
    const auto tensors = paro::GgufFile::open(file.path());
    for (const paro::TensorInfo& info : tensors->tensors())
      paro::expect_no_defect([&] { tensors->load_f32(info.name); });
  });
  for (const paro::CheckpointParts parts :
       {paro::CheckpointParts{true, false, false}, {false, true, false}, {false, false, true}})
    paro::expect_no_defect([&] {
      const paro::Checkpoint checkpoint = paro::open_gguf_checkpoint(file.path(), parts);
      if (checkpoint.weights == nullptr) return;
      for (const paro::TensorInfo& info : checkpoint.weights->tensors())
        paro::expect_no_defect([&] { checkpoint.weights->load(info.name); });
    });
  return 0;
}
