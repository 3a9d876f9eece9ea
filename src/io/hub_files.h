// What a hub's answer about a model says, checked, and which of its files paro needs.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/json.h"

namespace paro {

struct HubFile {
  std::string name;
  int64_t size = -1;     // -1: not stated
  std::string sha256;    // of large files; empty: not stated
  std::string git_name;  // git's name of the content; empty: not stated
};

struct HubModel {
  std::string commit;  // 40 hexadecimal digits
  std::vector<HubFile> files;
};

/// The files paro needs of GET /api/models/ID/revision/REV?blobs=true: config, tokenizer, template and weights
/// (safetensors; without any, the one GGUF file). Throws Error{kInput} naming `place`: malformed, or no such weights.
HubModel parse_hub_model(const Json& answer, const std::string& place);

}  // namespace paro
