#include <unistd.h>

#include <filesystem>

#include "fuzz_input.h"
#include "io/decompress.h"
#include "io/text_documents.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  constexpr int64_t kMaxBytes = 1 << 20;
  const paro::FuzzFile file(data, size);
  paro::expect_no_defect([&] { paro::read_decompressed(file.path(), kMaxBytes); });
  // Records are told by the file's name, which a file in memory does not have.
  static const std::filesystem::path link =
      std::filesystem::temp_directory_path() / ("paro-fuzz-" + std::to_string(::getpid()) + ".json");
  std::error_code code;
  std::filesystem::remove(link, code);
  std::filesystem::create_symlink(file.path(), link, code);
  paro::expect_no_defect([&] {
    paro::read_documents(
        link, [](const paro::Json& messages, const paro::Json&) { return paro::dump_json(messages); }, kMaxBytes);
  });
  std::filesystem::remove(link, code);
  return 0;
}
