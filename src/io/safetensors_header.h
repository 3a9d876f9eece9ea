// The JSON header of a safetensors file, parsed without building a document: any nesting, key or value that the
// format does not have ends the parse at once. Knows nothing of the file behind it.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "io/weight_source.h"

namespace paro {

struct SafetensorsHeader {
  struct Entry {
    TensorInfo info;
    int64_t begin = 0;  // from the start of the data
  };
  std::vector<Entry> entries;  // sorted by name
  std::map<std::string, std::string> metadata;
};

/// Checks types, shapes, sizes (shape times element size is end minus begin), duplicate names, and that the tensors
/// cover `data_bytes` without overlap or hole. Throws Error{kInput} naming `place` and the tensor.
SafetensorsHeader parse_safetensors_header(std::string_view text, int64_t data_bytes, const std::string& place);

}  // namespace paro
