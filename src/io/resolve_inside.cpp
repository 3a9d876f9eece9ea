#include "base/error.h"
#include "io/checkpoint.h"

namespace paro {
namespace {

namespace fs = std::filesystem;

/// The folder within which links may lead: the checkpoint's own, or for a snapshot of the hub cache
/// (models--org--name/snapshots/COMMIT) the model's.
fs::path allowed_root(const fs::path& folder) {
  const fs::path snapshots = folder.parent_path();
  const fs::path model = snapshots.parent_path();
  const bool in_cache = snapshots.filename() == "snapshots" && model.filename().string().starts_with("models--");
  return in_cache ? model : folder;
}

bool is_inside(const fs::path& path, const fs::path& root) {
  auto part = path.begin();
  for (const fs::path& expected : root)
    if (part == path.end() || *part++ != expected) return false;
  return true;
}

}  // namespace

fs::path resolve_inside(const fs::path& folder, const std::string& entry) {
  const fs::path relative(entry);
  bool plain = !entry.empty() && relative.is_relative() && entry.find('\0') == std::string::npos;
  for (const fs::path& part : relative) plain = plain && part != "..";
  if (!plain) fail_input("{}: expected a file inside the folder, found \"{}\"", folder.string(), entry);
  std::error_code code;
  const fs::path real_folder = fs::canonical(folder, code);
  if (code) fail_input("{}: cannot open the folder: {}", folder.string(), code.message());
  const fs::path path = folder / relative;
  const fs::path real = fs::weakly_canonical(real_folder / relative, code);
  if (code) fail_input("{}: cannot follow the link: {}", path.string(), code.message());
  if (!is_inside(real, allowed_root(real_folder)))
    fail_input("{}: is a link that leads outside the checkpoint, to {}", path.string(), real.string());
  return path;
}

}  // namespace paro
