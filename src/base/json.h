// JSON: nlohmann-json behind one parse function that bounds depth and names the file. Numbers stay exact
// (64-bit integers or doubles); object keys keep their order.
#pragma once

#include <cstdint>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

namespace paro {

using Json = nlohmann::ordered_json;

/// Parses a whole document. `place` names the source in errors. Throws Error{kInput} for malformed text or nesting
/// deeper than 200 levels. Duplicate keys: the last one wins.
Json parse_json(std::string_view text, const std::string& place);
/// read_file and parse_json.
Json read_json(const std::filesystem::path& path, int64_t max_bytes = int64_t{256} << 20);

/// Typed access with errors that name `place`, the key, the expected type and the found one.
/// The ones with a fallback return it when the key is absent or null.
int64_t json_int(const Json& object, const char* key, const std::string& place);
int64_t json_int(const Json& object, const char* key, int64_t fallback, const std::string& place);
double json_number(const Json& object, const char* key, double fallback, const std::string& place);
bool json_bool(const Json& object, const char* key, bool fallback, const std::string& place);
std::string json_string(const Json& object, const char* key, const std::string& place);
std::string json_string(const Json& object, const char* key, const std::string& fallback, const std::string& place);

/// "an object", "a string", ...: for error messages.
std::string_view json_kind(const Json& value);
/// Serialises; invalid UTF-8 in strings is replaced instead of thrown about.
std::string dump_json(const Json& value, int indent = -1);

}  // namespace paro
