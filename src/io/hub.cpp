#include "io/hub.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <optional>

#include "base/error.h"
#include "base/files.h"
#include "base/log.h"
#include "base/progress.h"
#include "io/hub_digest.h"
#include "io/hub_files.h"
#include "io/hub_http.h"

namespace paro {
namespace {

namespace fs = std::filesystem;

// A data set may consist of tens of thousands of files.
constexpr int64_t kMaxAnswerBytes = int64_t{256} << 20;

/// What the hub keeps models and data sets under.
struct Kind {
  const char* api;     // in the address of what is there
  const char* prefix;  // in the address of a file
  const char* folder;  // in the cache
};
constexpr Kind kModels{"models", "", "models--"};
constexpr Kind kDatasets{"datasets", "datasets/", "datasets--"};

std::string environment(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

struct HubId {
  std::string name;      // "org/name"
  std::string revision;  // "main", a tag, a commit
};

bool is_word(std::string_view text) {
  constexpr std::string_view kAllowed = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.";
  return !text.empty() && text[0] != '.' && text[0] != '-' &&
         text.find_first_not_of(kAllowed) == std::string_view::npos && text.find("..") == std::string_view::npos;
}

std::optional<HubId> parse_id(const std::string& text) {
  const size_t at = text.find('@');
  const HubId id{text.substr(0, at), at == std::string::npos ? "main" : text.substr(at + 1)};
  const size_t slash = id.name.find('/');
  if (slash == std::string::npos || !is_word(id.name.substr(0, slash)) || !is_word(id.name.substr(slash + 1)))
    return std::nullopt;
  size_t begin = 0;  // a revision may have several parts: "refs/pr/1"
  while (begin <= id.revision.size()) {
    const size_t end = std::min(id.revision.find('/', begin), id.revision.size());
    if (!is_word(id.revision.substr(begin, end - begin))) return std::nullopt;
    begin = end + 1;
  }
  return id;
}

std::string url_part(const std::string& text) {
  std::string result;
  for (const char c : text) {
    const bool plain = std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '-' || c == '_' || c == '.';
    result += plain ? std::string(1, c) : fmt::format("%{:02X}", static_cast<unsigned char>(c));
  }
  return result;
}

/// A path with everything escaped but its slashes.
std::string url_path(const std::string& path) {
  std::string result;
  for (size_t begin = 0; begin <= path.size();) {
    const size_t end = std::min(path.find('/', begin), path.size());
    result += (begin == 0 ? "" : "/") + url_part(path.substr(begin, end - begin));
    begin = end + 1;
  }
  return result;
}

class Download {
 public:
  Download(const Kind& kind, HubId id, const HubOptions& options) : kind_(kind), id_(std::move(id)), options_(options) {
    std::string flat = id_.name;
    flat.replace(flat.find('/'), 1, "--");
    folder_ = options.cache / (kind.folder + flat);
    place_ = fmt::format("{}/{}{}", options.endpoint, kind.prefix, id_.name);
  }

  /// All that paro needs of a model.
  fs::path model() {
    if (options_.offline) {
      if (const auto cached = find_cached()) return *cached;
      fail_input("{}: is not in the cache ({}) and --offline forbids downloading it", id_.name, folder_.string());
    }
    const HttpResult answer = ask();
    if (answer.status == 0 || answer.status >= 500) {
      if (const auto cached = find_cached()) {
        log_warning("{}: no answer ({}); using the copy in the cache", place_, reason(answer));
        return *cached;
      }
    }
    check(answer, "");
    return fetch_all(parse_hub_model(parse_json(answer.body, place_), place_));
  }

  /// The snapshot that holds these files of a data set.
  fs::path files(const std::vector<std::string>& names) {
    std::error_code code;
    const std::optional<fs::path> cached = find_cached();
    const auto missing = std::find_if(names.begin(), names.end(), [&](const std::string& name) {
      return !cached || !fs::is_regular_file(*cached / name, code);
    });
    if (missing == names.end()) return *cached;
    if (options_.offline)
      fail_input("{}: {} is not in the cache ({}) and --offline forbids downloading it", id_.name, *missing,
                 folder_.string());
    const HttpResult answer = ask();
    check(answer, "");
    return fetch_all(parse_hub_dataset(parse_json(answer.body, place_), names, place_));
  }

 private:
  HttpResult ask() const {
    return http_get({fmt::format("{}/api/{}/{}/revision/{}?blobs=true", options_.endpoint, kind_.api, id_.name,
                                 url_part(id_.revision)),
                     options_.token},
                    kMaxAnswerBytes);
  }

  fs::path fetch_all(const HubRevision& revision) const {
    const fs::path snapshot = folder_ / "snapshots" / revision.commit;
    make_writable_folder(folder_ / "blobs");
    make_writable_folder(snapshot);
    for (const HubFile& file : revision.files) fetch(revision.commit, file, snapshot);
    const fs::path reference = folder_ / "refs" / id_.revision;
    make_writable_folder(reference.parent_path());
    write_file(reference, revision.commit);
    return snapshot;
  }

  /// A snapshot that was completely downloaded: its revision's reference is written last.
  std::optional<fs::path> find_cached() const {
    std::error_code code;
    std::string commit = id_.revision;
    if (const fs::path reference = folder_ / "refs" / id_.revision; fs::is_regular_file(reference, code))
      commit = read_file(reference, 100);
    if (!is_word(commit)) return std::nullopt;
    const fs::path snapshot = folder_ / "snapshots" / commit;
    return fs::is_directory(snapshot, code) ? std::optional(snapshot) : std::nullopt;
  }

  static std::string reason(const HttpResult& answer) {
    return answer.error.empty() ? fmt::format("status {}", answer.status) : answer.error;
  }

  void check(const HttpResult& answer, const std::string& file) const {
    const std::string what = file.empty() ? place_ : fmt::format("{}: {}", place_, file);
    if (answer.error.empty() && answer.status >= 200 && answer.status < 300) return;
    if (answer.status == 401)
      fail_input("{}: not found, or private: {}", what,
                 options_.token.empty() ? "set HF_TOKEN if it needs access" : "the HF_TOKEN was not accepted");
    if (answer.status == 403)
      fail_input("{}: no access: accept the model's conditions on its page, with the account of HF_TOKEN", what);
    if (answer.status == 404) fail_input("{}: not found (revision {})", what, id_.revision);
    fail_input("{}: cannot download: {}", what, reason(answer));
  }

  void fetch(const std::string& commit, const HubFile& file, const fs::path& snapshot) const {
    const fs::path link = snapshot / file.name;
    std::error_code code;
    // Without a stated checksum the content has no name before it is there: it is kept under the file's.
    std::string blob_name = !file.sha256.empty()     ? file.sha256
                            : !file.git_name.empty() ? file.git_name
                                                     : commit + "-" + file.name;
    std::replace(blob_name.begin(), blob_name.end(), '/', '-');
    const fs::path blob = folder_ / "blobs" / blob_name;
    if (!fs::is_regular_file(blob, code)) download(commit, file, blob);
    make_writable_folder(link.parent_path());
    const fs::path target = (folder_ / "blobs" / blob_name).lexically_relative(link.parent_path());
    if (fs::is_symlink(link, code) && fs::read_symlink(link, code) == target) return;
    const fs::path temporary = link.parent_path() / fmt::format(".{}.partial-{}", link.filename().string(), ::getpid());
    fs::remove(temporary, code);
    fs::create_symlink(target, temporary, code);
    if (!code) fs::rename(temporary, link, code);
    if (code) fail_input("{}: cannot write: {}", link.string(), code.message());
  }

  void download(const std::string& commit, const HubFile& file, const fs::path& blob) const {
    fs::path partial = blob;
    partial += ".incomplete";
    std::error_code code;
    const auto size_of = [&] {
      return fs::exists(partial, code) ? static_cast<int64_t>(fs::file_size(partial, code)) : int64_t{0};
    };
    const int64_t present = size_of();
    const fs::space_info space = fs::space(folder_, code);
    if (!code && file.size > present && static_cast<uint64_t>(file.size - present) > space.available)
      fail_limit("{}: expected {} bytes of free space for {}, found {}", folder_.string(), file.size - present,
                 file.name, space.available);
    const std::string url =
        fmt::format("{}/{}{}/resolve/{}/{}", options_.endpoint, kind_.prefix, id_.name, commit, url_path(file.name));
    if (file.size < 0 || present != file.size) {
      Progress progress(file.name, file.size);
      int64_t shown = 0;
      const HttpResult answer = http_download({url, options_.token}, partial, [&](int64_t now) {
        if (now > shown) progress.advance(now - shown);
        shown = now;
      });
      check(answer, file.name);
    }
    if (file.size >= 0 && size_of() != file.size) {
      const int64_t found = size_of();
      fs::remove(partial, code);
      fail_input("{}: {}: expected {} bytes, found {}", place_, file.name, file.size, found);
    }
    verify(file, partial);
    fs::rename(partial, blob, code);
    if (code) fail_input("{}: cannot write: {}", blob.string(), code.message());
  }

  /// A file that is not what the hub promised is removed: resuming it would never end well.
  void verify(const HubFile& file, const fs::path& partial) const {
    const std::string expected = file.sha256.empty() ? file.git_name : file.sha256;
    if (expected.empty()) return;
    const std::string found = file.sha256.empty() ? git_blob_name_of_file(partial) : sha256_of_file(partial);
    if (found == expected) return;
    std::error_code code;
    fs::remove(partial, code);
    fail_input("{}: {}: expected checksum {}, found {}; the download was removed", place_, file.name, expected, found);
  }

  const Kind& kind_;
  HubId id_;
  const HubOptions& options_;
  fs::path folder_;
  std::string place_;
};

}  // namespace

HubOptions HubOptions::from_environment() {
  HubOptions options;
  options.endpoint = environment("HF_ENDPOINT");
  if (options.endpoint.empty()) options.endpoint = "https://huggingface.co";
  while (options.endpoint.ends_with('/')) options.endpoint.pop_back();
  options.cache = environment("HF_HUB_CACHE");
  if (options.cache.empty()) {
    fs::path home = environment("HF_HOME");
    if (home.empty()) {
      fs::path base = environment("XDG_CACHE_HOME");
      if (base.empty()) base = fs::path(environment("HOME")) / ".cache";
      home = base / "huggingface";
    }
    options.cache = home / "hub";
  }
  options.token = environment("HF_TOKEN");
  const std::string offline = environment("HF_HUB_OFFLINE");
  options.offline = offline == "1" || offline == "true" || offline == "TRUE" || offline == "yes" || offline == "on";
  return options;
}

bool looks_like_hub_id(const std::string& model) {
  std::error_code code;
  return parse_id(model).has_value() && !fs::exists(model, code) && !model.ends_with(".gguf");
}

fs::path hub_snapshot(const std::string& id, const HubOptions& options) {
  const std::optional<HubId> parsed = parse_id(id);
  if (!parsed) fail_input("{}: expected a model's id, \"org/name\" or \"org/name@revision\"", id);
  return Download(kModels, *parsed, options).model();
}

std::vector<fs::path> hub_dataset_files(const std::string& id, const std::vector<std::string>& names,
                                        const HubOptions& options) {
  const std::optional<HubId> parsed = parse_id(id);
  if (!parsed) fail_input("{}: expected a data set's id, \"org/name\" or \"org/name@revision\"", id);
  for (const std::string& name : names)
    if (!is_plain_path(name)) fail_input("{}: expected a file's path in the data set, found \"{}\"", id, name);
  const fs::path snapshot = Download(kDatasets, *parsed, options).files(names);
  std::vector<fs::path> paths;
  for (const std::string& name : names) paths.push_back(snapshot / name);
  return paths;
}

}  // namespace paro
