#include "io/hub_http.h"

#include <curl/curl.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstring>
#include <memory>
#include <mutex>
#include <thread>

#include "base/error.h"

namespace paro {
namespace {

constexpr int kAttempts = 5;
constexpr std::chrono::milliseconds kFirstPause{250};
constexpr long kConnectSeconds = 15;
constexpr long kStallSeconds = 30;  // without a byte
constexpr long kMaxRedirects = 10;

struct Transfer {
  CURL* curl = nullptr;
  std::function<bool(const char* data, size_t size, int status)> take;  // false ends the transfer
};

size_t on_data(char* data, size_t size, size_t count, void* context) {
  auto* transfer = static_cast<Transfer*>(context);
  long status = 0;
  curl_easy_getinfo(transfer->curl, CURLINFO_RESPONSE_CODE, &status);
  return transfer->take(data, size * count, static_cast<int>(status)) ? size * count : 0;
}

/// One attempt. Redirects to plain http are followed only from plain http.
HttpResult perform(const HttpRequest& request, int64_t offset, Transfer& transfer) {
  static std::once_flag initialised;
  std::call_once(initialised, [] { curl_global_init(CURL_GLOBAL_DEFAULT); });
  const std::unique_ptr<CURL, decltype(&curl_easy_cleanup)> handle(curl_easy_init(), curl_easy_cleanup);
  CURL* curl = transfer.curl = handle.get();
  PARO_CHECK(curl != nullptr);
  std::unique_ptr<curl_slist, decltype(&curl_slist_free_all)> headers(nullptr, curl_slist_free_all);
  // libcurl keeps this header to the first host.
  if (!request.token.empty())
    headers.reset(curl_slist_append(nullptr, ("Authorization: Bearer " + request.token).c_str()));
  char error[CURL_ERROR_SIZE] = "";
  const bool secure = request.url.starts_with("https:");
  curl_easy_setopt(curl, CURLOPT_URL, request.url.c_str());
  curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers.get());
  curl_easy_setopt(curl, CURLOPT_USERAGENT, "paro");
  curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, error);
  curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(curl, CURLOPT_FOLLOWLOCATION, 1L);
  curl_easy_setopt(curl, CURLOPT_MAXREDIRS, kMaxRedirects);
#if LIBCURL_VERSION_NUM >= 0x075500
  curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
  curl_easy_setopt(curl, CURLOPT_REDIR_PROTOCOLS_STR, secure ? "https" : "http,https");
#else
  constexpr long kBoth = CURLPROTO_HTTP | CURLPROTO_HTTPS;
  curl_easy_setopt(curl, CURLOPT_PROTOCOLS, kBoth);
  curl_easy_setopt(curl, CURLOPT_REDIR_PROTOCOLS, secure ? static_cast<long>(CURLPROTO_HTTPS) : kBoth);
#endif
  curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT, kConnectSeconds);
  curl_easy_setopt(curl, CURLOPT_LOW_SPEED_LIMIT, 1L);
  curl_easy_setopt(curl, CURLOPT_LOW_SPEED_TIME, kStallSeconds);
  curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_data);
  curl_easy_setopt(curl, CURLOPT_WRITEDATA, &transfer);
  const std::string range = fmt::format("{}-", offset);
  if (offset > 0) curl_easy_setopt(curl, CURLOPT_RANGE, range.c_str());
  const CURLcode code = curl_easy_perform(curl);
  long status = 0;
  curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
  if (code == CURLE_OK) return {static_cast<int>(status), "", ""};
  const bool hopeless = code == CURLE_COULDNT_RESOLVE_HOST || code == CURLE_COULDNT_CONNECT ||
                        code == CURLE_URL_MALFORMAT || code == CURLE_PEER_FAILED_VERIFICATION ||
                        code == CURLE_UNSUPPORTED_PROTOCOL || code == CURLE_TOO_MANY_REDIRECTS;
  const std::string why = error[0] != '\0' ? error : curl_easy_strerror(code);
  return {hopeless ? -1 : 0, why, ""};
}

/// Until an answer comes that another attempt would not change.
template <typename Attempt>
HttpResult with_retries(Attempt&& attempt) {
  HttpResult result;
  for (int i = 0; i < kAttempts; ++i) {
    if (i > 0) std::this_thread::sleep_for(kFirstPause * (1 << (i - 1)));
    bool ended = false;
    result = attempt(ended);
    if (result.status == -1) {
      result.status = 0;
      return result;
    }
    const bool may_pass = result.status == 0 || result.status == 429 || result.status >= 500;
    if (ended || !may_pass) return result;
  }
  return result;
}

class AppendedFile {
 public:
  explicit AppendedFile(const std::filesystem::path& path) : path_(path) {
    fd_ = ::open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644);
    if (fd_ < 0) fail_input("{}: cannot write: {}", path.string(), std::strerror(errno));
    if (::flock(fd_, LOCK_EX | LOCK_NB) != 0) {
      ::close(fd_);
      fail_input("{}: another program is downloading this file", path.string());
    }
    struct stat info {};
    if (::fstat(fd_, &info) == 0) size_ = info.st_size;
    ::lseek(fd_, size_, SEEK_SET);
  }
  ~AppendedFile() { ::close(fd_); }
  AppendedFile(const AppendedFile&) = delete;
  AppendedFile& operator=(const AppendedFile&) = delete;

  int64_t size() const { return size_; }
  void start_over() {
    if (::ftruncate(fd_, 0) != 0) fail_input("{}: cannot write: {}", path_.string(), std::strerror(errno));
    ::lseek(fd_, 0, SEEK_SET);
    size_ = 0;
  }
  /// 0 or an error number.
  int append(const char* data, size_t size) {
    while (size > 0) {
      const ssize_t n = ::write(fd_, data, size);
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) return errno;
      data += n;
      size -= static_cast<size_t>(n);
      size_ += n;
    }
    return 0;
  }

 private:
  std::filesystem::path path_;
  int fd_ = -1;
  int64_t size_ = 0;
};

}  // namespace

HttpResult http_get(const HttpRequest& request, int64_t max_bytes) {
  return with_retries([&](bool& ended) {
    Transfer transfer;
    std::string body;
    transfer.take = [&](const char* data, size_t size, int) {
      ended = body.size() + size > static_cast<size_t>(max_bytes);
      if (!ended) body.append(data, size);
      return !ended;
    };
    HttpResult result = perform(request, 0, transfer);
    if (ended) result.error = fmt::format("the answer is larger than {} bytes", max_bytes);
    result.body = std::move(body);
    return result;
  });
}

HttpResult http_download(const HttpRequest& request, const std::filesystem::path& path,
                         const std::function<void(int64_t)>& progress) {
  AppendedFile file(path);
  int failure = 0;
  const HttpResult result = with_retries([&](bool& ended) {
    const int64_t offset = file.size();
    bool first = true;
    Transfer transfer;
    transfer.take = [&](const char* data, size_t size, int status) {
      if (status >= 300) return true;  // an error page
      if (first && status != 206 && offset > 0) file.start_over();
      first = false;
      failure = file.append(data, size);
      ended = failure != 0;
      if (progress && !ended) progress(file.size());
      return !ended;
    };
    HttpResult answer = perform(request, offset, transfer);
    // The range begins at or beyond the end: complete already, or something else; the checksum decides.
    if (answer.status == 416) answer.status = 200;
    return answer;
  });
  if (failure == ENOSPC || failure == EDQUOT || failure == EFBIG)
    fail_limit("{}: cannot write: {}", path.string(), std::strerror(failure));
  if (failure != 0) fail_input("{}: cannot write: {}", path.string(), std::strerror(failure));
  return result;
}

}  // namespace paro
