// What a hub's answer about a model or a data set says, checked, and which of its files are needed.
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

/// A model or data set at a commit, with the files that are needed of it.
struct HubRevision {
  std::string commit;  // 40 hexadecimal digits
  std::vector<HubFile> files;
};

/// The files paro needs of GET /api/models/ID/revision/REV?blobs=true: config, tokenizer, template and weights
/// (safetensors; without any, the one GGUF file). Throws Error{kInput} naming `place`: malformed, or no such weights.
HubRevision parse_hub_model(const Json& answer, const std::string& place);

/// These files (paths in the repository) of GET /api/datasets/ID/revision/REV?blobs=true, in this order. Throws
/// Error{kInput} naming `place`: malformed, or a file that is not there.
HubRevision parse_hub_dataset(const Json& answer, const std::vector<std::string>& names, const std::string& place);

/// A path that stays inside its folder: parts that are not empty and do not begin with a dot, '/' between.
bool is_plain_path(const std::string& name);

}  // namespace paro
