#include "io/hub_digest.h"

#include <fmt/format.h>
#include <openssl/evp.h>

#include <memory>

#include "base/error.h"
#include "base/files.h"

namespace paro {
namespace {

std::string digest_of(const EVP_MD* kind, std::string_view prefix, std::span<const std::byte> bytes) {
  const std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> context(EVP_MD_CTX_new(), EVP_MD_CTX_free);
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned int size = 0;
  const bool done = context && EVP_DigestInit_ex(context.get(), kind, nullptr) == 1 &&
                    EVP_DigestUpdate(context.get(), prefix.data(), prefix.size()) == 1 &&
                    EVP_DigestUpdate(context.get(), bytes.data(), bytes.size()) == 1 &&
                    EVP_DigestFinal_ex(context.get(), digest, &size) == 1;
  PARO_CHECK(done);
  std::string text;
  for (unsigned int i = 0; i < size; ++i) text += fmt::format("{:02x}", digest[i]);
  return text;
}

}  // namespace

std::string sha256_of_file(const std::filesystem::path& path) {
  return digest_of(EVP_sha256(), "", MappedFile::open(path)->bytes());
}

std::string git_blob_name_of_file(const std::filesystem::path& path) {
  const std::shared_ptr<const MappedFile> file = MappedFile::open(path);
  const std::string size = std::to_string(file->bytes().size());
  return digest_of(EVP_sha1(), "blob " + size + std::string(1, '\0'), file->bytes());
}

}  // namespace paro
