// HTTP for the hub, over libcurl: a text, or a file with resume. Retries what may pass (server errors, broken
// connections); follows redirects, without the token when they lead to another host.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>

namespace paro {

struct HttpRequest {
  std::string url;
  std::string token;  // sent as "Authorization: Bearer", empty: not
};

struct HttpResult {
  int status = 0;     // 0: no answer
  std::string error;  // why there is no answer
  std::string body;   // http_get only
};

/// The body of at most `max_bytes`; any status is returned to the caller.
HttpResult http_get(const HttpRequest& request, int64_t max_bytes);

/// Continues `file` where it ends (or starts over when the server does not continue); `progress` gets the number of
/// bytes in the file after each piece. Error statuses write nothing. Throws Error{kLimit} when the disk is full.
HttpResult http_download(const HttpRequest& request, const std::filesystem::path& file,
                         const std::function<void(int64_t)>& progress);

}  // namespace paro
