#include "io/text_documents.h"

#include <algorithm>
#include <string_view>

#include "base/error.h"
#include "io/chat_template/render_chat.h"
#include "io/decompress.h"

namespace paro {
namespace {

// A list is parsed as a whole, which takes several times its size.
constexpr size_t kMaxListBytes = size_t{1} << 30;
constexpr std::string_view kBlank = " \t\r\n";
constexpr const char* kDocumentEnd = "\n\n";

/// ShareGPT's names of who speaks, and the roles that chat templates know.
constexpr std::pair<std::string_view, const char*> kSpeakers[] = {
    {"human", "user"},        {"user", "user"},      {"gpt", "assistant"},  {"assistant", "assistant"},
    {"chatgpt", "assistant"}, {"bing", "assistant"}, {"bard", "assistant"}, {"model", "assistant"},
    {"system", "system"},     {"tool", "tool"},      {"function", "tool"},  {"observation", "tool"},
};

bool is_there(const Json& record, const char* key) {
  const auto found = record.find(key);
  return found != record.end() && !found->is_null();
}

Json messages_of_conversation(const Json& record, const std::string& where) {
  const Json& turns = record["conversations"];
  if (!turns.is_array()) fail_input("{}: \"conversations\": expected a list, found {}", where, json_kind(turns));
  Json messages = Json::array();
  if (is_there(record, "system") && !json_string(record, "system", where).empty())
    messages.push_back({{"role", "system"}, {"content", record["system"]}});
  for (const Json& turn : turns) {
    if (!turn.is_object()) fail_input("{}: \"conversations\": expected objects, found {}", where, json_kind(turn));
    if (turn.contains("role")) {
      messages.push_back(turn);
      continue;
    }
    const std::string from = json_string(turn, "from", where);
    const auto* speaker = std::find_if(std::begin(kSpeakers), std::end(kSpeakers),
                                       [&](const auto& entry) { return entry.first == from; });
    if (speaker == std::end(kSpeakers))
      fail_input("{}: \"from\": expected human, gpt, system or tool, found \"{}\"", where, from);
    messages.push_back({{"role", speaker->second}, {"content", json_string(turn, "value", where)}});
  }
  return messages;
}

std::string rendered(const Json& messages, const Json& record, const RenderMessages& render, const std::string& where) {
  if (!render) fail_input("{}: a conversation, but the model has no chat template to make text of it", where);
  check_messages(messages, where);
  if (messages.empty()) fail_input("{}: expected messages, found an empty list", where);
  try {
    return render(messages, is_there(record, "tools") ? record["tools"] : Json());
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::kInput) throw;
    fail_input("{}: {}", where, error.what());
  }
}

std::string keys_of(const Json& record) {
  std::string keys;
  for (const auto& [key, value] : record.items()) keys += fmt::format("{}\"{}\"", keys.empty() ? "" : ", ", key);
  return keys.empty() ? "no fields" : keys;
}

std::string document_of(const Json& record, const RenderMessages& render, const std::string& where) {
  if (!record.is_object()) fail_input("{}: expected an object, found {}", where, json_kind(record));
  if (is_there(record, "messages")) return rendered(record["messages"], record, render, where);
  if (is_there(record, "conversations"))
    return rendered(messages_of_conversation(record, where), record, render, where);
  for (const char* field : {"text", "content"})
    if (is_there(record, field)) return json_string(record, field, where) + kDocumentEnd;
  fail_input("{}: expected \"text\", \"content\", \"messages\" or \"conversations\", found {}", where, keys_of(record));
}

std::vector<std::string> documents_of_list(const std::string& bytes, const RenderMessages& render,
                                           const std::string& place) {
  if (bytes.size() > kMaxListBytes)
    fail_input("{}: a list of records may have {} bytes, found {}; write one record in each line instead", place,
               kMaxListBytes, bytes.size());
  std::vector<std::string> documents;
  for (const Json& record : parse_json(bytes, place))
    documents.push_back(document_of(record, render, fmt::format("{}: record {}", place, documents.size() + 1)));
  return documents;
}

std::vector<std::string> documents_of_lines(const std::string& bytes, const RenderMessages& render,
                                            const std::string& place) {
  std::vector<std::string> documents;
  int64_t number = 0;
  for (size_t begin = 0; begin < bytes.size();) {
    const size_t end = std::min(bytes.find('\n', begin), bytes.size());
    const std::string_view line(bytes.data() + begin, end - begin);
    begin = end + 1;
    ++number;
    if (line.find_first_not_of(kBlank) == std::string_view::npos) continue;
    const std::string where = fmt::format("{}:{}", place, number);
    documents.push_back(document_of(parse_json(line, where), render, where));
  }
  return documents;
}

}  // namespace

std::vector<std::string> read_documents(const std::filesystem::path& file, const RenderMessages& render,
                                        int64_t max_bytes) {
  DecompressedFile content = read_decompressed(file, max_bytes);
  const std::string place = file.string();
  const std::string ending = std::filesystem::path(content.name).extension().string();
  if (ending == ".parquet" || content.bytes.starts_with("PAR1"))
    fail_input(
        "{}: a Parquet file, which paro does not read; make JSON lines of it, such as with duckdb -c \"COPY "
        "(FROM '{}') TO 'text.jsonl' (FORMAT json)\"",
        place, file.filename().string());
  std::vector<std::string> documents;
  const bool json = ending == ".json";
  const size_t first = content.bytes.find_first_not_of(kBlank);
  if (json && first != std::string::npos && content.bytes[first] == '[') {
    documents = documents_of_list(content.bytes, render, place);
  } else if (json || ending == ".jsonl" || ending == ".ndjson") {
    documents = documents_of_lines(content.bytes, render, place);
  } else if (const size_t zero = content.bytes.find('\0'); zero != std::string::npos) {
    fail_input("{}: expected text, found a byte 0 at {}", place, zero);
  } else if (!content.bytes.empty()) {
    documents.push_back(std::move(content.bytes));
  }
  if (documents.empty()) fail_input("{}: expected calibration text, found none", place);
  return documents;
}

}  // namespace paro
