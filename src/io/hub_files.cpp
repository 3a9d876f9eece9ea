#include "io/hub_files.h"

#include <algorithm>

#include "base/error.h"

namespace paro {
namespace {

constexpr const char* kSmallFiles[] = {
    "config.json",           "generation_config.json",  "tokenizer.json",
    "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json",
    "chat_template.jinja",   "chat_template.json",      "model.safetensors.index.json",
};

bool is_hexadecimal(const std::string& text, size_t length) {
  return text.size() == length && text.find_first_not_of("0123456789abcdef") == std::string::npos;
}

bool is_plain_name(const std::string& name) {
  return !name.empty() && name[0] != '.' && name.find_first_of(std::string("/\\\0", 3)) == std::string::npos;
}

HubFile parse_file(const Json& sibling, const std::string& place) {
  HubFile file;
  file.name = json_string(sibling, "rfilename", place);
  file.size = json_int(sibling, "size", -1, place);
  file.git_name = json_string(sibling, "blobId", "", place);
  if (!is_hexadecimal(file.git_name, 40)) file.git_name.clear();
  const auto lfs = sibling.find("lfs");
  if (lfs == sibling.end() || lfs->is_null()) return file;
  file.sha256 = json_string(*lfs, "sha256", "", place);
  file.size = json_int(*lfs, "size", file.size, place);
  if (!is_hexadecimal(file.sha256, 64)) file.sha256.clear();
  // Of a large file git holds only a pointer.
  file.git_name.clear();
  return file;
}

/// The commit; the list of files is checked to be there.
HubRevision parse_head(const Json& answer, const std::string& place) {
  HubRevision revision;
  revision.commit = json_string(answer, "sha", place);
  if (!is_hexadecimal(revision.commit, 40))
    fail_input("{}: \"sha\": expected 40 hexadecimal digits, found \"{}\"", place, revision.commit);
  if (!answer.contains("siblings") || !answer["siblings"].is_array())
    fail_input("{}: expected a list \"siblings\"", place);
  return revision;
}

}  // namespace

bool is_plain_path(const std::string& name) {
  for (size_t begin = 0; begin <= name.size();) {
    const size_t end = std::min(name.find('/', begin), name.size());
    if (!is_plain_name(name.substr(begin, end - begin))) return false;
    begin = end + 1;
  }
  return true;
}

HubRevision parse_hub_dataset(const Json& answer, const std::vector<std::string>& names, const std::string& place) {
  HubRevision revision = parse_head(answer, place);
  for (const std::string& name : names) {
    const Json& siblings = answer["siblings"];
    const auto found = std::find_if(siblings.begin(), siblings.end(), [&](const Json& sibling) {
      return json_string(sibling, "rfilename", place) == name;
    });
    if (found == siblings.end()) {
      std::string some;
      for (size_t i = 0; i < std::min<size_t>(siblings.size(), 5); ++i)
        some += fmt::format("{}{}", i == 0 ? "" : ", ", json_string(siblings[i], "rfilename", place));
      fail_input("{}: has no file \"{}\"; of its {} files the first are: {}", place, name, siblings.size(), some);
    }
    revision.files.push_back(parse_file(*found, place));
  }
  return revision;
}

HubRevision parse_hub_model(const Json& answer, const std::string& place) {
  HubRevision model = parse_head(answer, place);
  std::vector<HubFile> tensors;
  std::vector<HubFile> ggufs;
  bool pickled = false;
  for (const Json& sibling : answer["siblings"]) {
    HubFile file = parse_file(sibling, place);
    const std::string& name = file.name;
    if (!is_plain_name(name)) continue;  // of subfolders nothing is needed
    if (std::find(std::begin(kSmallFiles), std::end(kSmallFiles), name) != std::end(kSmallFiles))
      model.files.push_back(std::move(file));
    else if (name.starts_with("model") && name.ends_with(".safetensors"))
      tensors.push_back(std::move(file));
    else if (name.ends_with(".gguf"))
      ggufs.push_back(std::move(file));
    else
      pickled |= name.starts_with("pytorch_model") || name.ends_with(".pth");
  }
  const auto whole =
      std::find_if(tensors.begin(), tensors.end(), [](const HubFile& f) { return f.name == "model.safetensors"; });
  if (whole != tensors.end()) tensors = {HubFile(*whole)};
  if (tensors.empty() && ggufs.size() == 1) tensors = std::move(ggufs);
  if (tensors.empty()) {
    if (ggufs.size() > 1)
      fail_input("{}: has {} GGUF files ({}, ...) and no safetensors: download one and give its path", place,
                 ggufs.size(), ggufs[0].name);
    fail_input("{}: has no safetensors{}", place,
               pickled ? ", only PyTorch's pickled weights, which are not supported" : "");
  }
  model.files.insert(model.files.end(), tensors.begin(), tensors.end());
  return model;
}

}  // namespace paro
