// Developer program of the conformance suite: paro_tokenize_lines FOLDER, with lines {"bytes": hex, "special": bool} or
// {"ids": [...], "skip": bool} on stdin and {"ids": [...]} or {"bytes": hex} on stdout.
#include <filesystem>
#include <iostream>
#include <string>

#include "base/error.h"
#include "base/files.h"
#include "base/json.h"
#include "io/tokenizer/tokenizer.h"

namespace {

std::string to_hex(std::string_view bytes) {
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string hex;
  for (const char c : bytes) {
    const auto byte = static_cast<unsigned char>(c);
    hex += kDigits[byte / 16];
    hex += kDigits[byte % 16];
  }
  return hex;
}

std::string from_hex(const std::string& hex) {
  std::string bytes;
  for (size_t i = 0; i + 1 < hex.size(); i += 2) bytes += static_cast<char>(std::stoi(hex.substr(i, 2), nullptr, 16));
  return bytes;
}

paro::Json answer(const paro::Tokenizer& tokenizer, const paro::Json& request) {
  if (const auto ids = request.find("ids"); ids != request.end())
    return {{"bytes", to_hex(tokenizer.decode(ids->get<std::vector<int32_t>>(), request.at("skip").get<bool>()))}};
  const std::string text = from_hex(request.at("bytes").get<std::string>());
  return {{"ids", tokenizer.encode(text, request.at("special").get<bool>())}};
}

}  // namespace

int main(int argc, char** argv) try {
  if (argc != 2) paro::fail_usage("usage: paro_tokenize_lines FOLDER");
  const std::filesystem::path folder = argv[1];
  const auto config = folder / "tokenizer_config.json";
  const auto tokenizer =
      paro::Tokenizer::from_json(paro::read_json(folder / "tokenizer.json"),
                                 std::filesystem::exists(config) ? paro::read_json(config) : nullptr, folder.string());
  for (std::string line; std::getline(std::cin, line);)
    std::cout << paro::dump_json(answer(*tokenizer, paro::parse_json(line, "stdin"))) << std::endl;
} catch (const paro::Error& error) {
  std::cerr << error.what() << "\n";
  return 1;
}
