#include "io/tokenizer/post_processor.h"

#include "base/error.h"
#include "io/tokenizer/normalizer.h"

namespace paro::tokenizer {
namespace {

constexpr int kMaxDepth = 20;
constexpr size_t kMaxTemplates = 8;

int32_t read_id(const Json& json, const std::string& place) {
  if (!json.is_number_integer() || json.get<int64_t>() < 0 || json.get<int64_t>() > INT32_MAX)
    fail_input("{}: expected a token's id, found {}", place, dump_json(json));
  return json.get<int32_t>();
}

// ["<s>", 1]
int32_t read_pair(const Json& json, const char* key, const std::string& place) {
  const Json& pair = json_array(json, key, place);
  if (pair.size() != 2) fail_input("{}: \"{}\": expected a token and its id", place, key);
  return read_id(pair[1], place);
}

}  // namespace

PostProcessor PostProcessor::from_json(const Json& json, const std::string& place) {
  PostProcessor result;
  if (!json.is_null()) result.add(json, place + ": post_processor", 0);
  return result;
}

void PostProcessor::add(const Json& json, const std::string& place, int depth) {
  if (depth > kMaxDepth) fail_input("{}: nested deeper than {} levels", place, kMaxDepth);
  const std::string type = type_of(json, place);
  const std::string inside = place + " " + type;
  if (type == "Sequence") {
    for (const Json& part : json_array(json, "processors", inside)) add(part, place, depth + 1);
  } else if (type == "TemplateProcessing") {
    add_template(json, inside);
  } else if (type == "BertProcessing" || type == "RobertaProcessing") {
    templates_.push_back({read_pair(json, "cls", inside), kText, read_pair(json, "sep", inside)});
  } else if (type != "ByteLevel") {  // which changes offsets only
    fail_input("{}: the type \"{}\" is not supported", place, type);
  }
  if (templates_.size() > kMaxTemplates) fail_input("{}: more than {} templates", place, kMaxTemplates);
}

void PostProcessor::add_template(const Json& json, const std::string& place) {
  std::vector<int32_t> pieces;
  int texts = 0;
  for (const Json& piece : json_array(json, "single", place)) {
    if (piece.is_object() && piece.contains("Sequence")) {
      if (json_string(piece["Sequence"], "id", place) != "A") fail_input("{}: \"single\" names a second text", place);
      pieces.push_back(kText);
      ++texts;
    } else if (piece.is_object() && piece.contains("SpecialToken")) {
      const std::string name = json_string(piece["SpecialToken"], "id", place);
      const auto all = json.find("special_tokens");
      if (all == json.end() || !all->is_object() || !all->contains(name))
        fail_input("{}: \"special_tokens\" has no \"{}\"", place, name);
      for (const Json& id : json_array((*all)[name], "ids", place)) pieces.push_back(read_id(id, place));
    } else {
      fail_input("{}: \"single\": expected \"Sequence\" or \"SpecialToken\", found {}", place, json_kind(piece));
    }
  }
  if (texts > 1) fail_input("{}: \"single\" names the text {} times", place, texts);
  templates_.push_back(std::move(pieces));
}

void PostProcessor::apply(std::vector<int32_t>& ids) const {
  for (const std::vector<int32_t>& pieces : templates_) {
    std::vector<int32_t> result;
    result.reserve(ids.size() + pieces.size());
    for (int32_t piece : pieces) {
      if (piece == kText) {
        result.insert(result.end(), ids.begin(), ids.end());
      } else {
        result.push_back(piece);
      }
    }
    ids = std::move(result);
  }
}

}  // namespace paro::tokenizer
