#include "fuzz_input.h"
#include "io/safetensors.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const paro::FuzzFile file(data, size);
  paro::expect_no_defect([&] {
    const auto tensors = paro::SafetensorsFile::open(file.path());
    for (const paro::TensorInfo& info : tensors->tensors())
      paro::expect_no_defect([&] { tensors->load_f32(info.name); });
  });
  return 0;
}
