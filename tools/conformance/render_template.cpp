// Developer program of the conformance suite: lines {"template": text, "context": object, "now": seconds} on stdin,
// lines {"text": rendered} or {"error": message} on stdout. With "repeat", also "ms": the time of one rendering.
#include <chrono>
#include <iostream>
#include <string>

#include "base/error.h"
#include "base/json.h"
#include "io/chat_template/chat_template.h"

namespace {

paro::Json render(const paro::Json& request) {
  paro::Json reply = paro::Json::object();
  try {
    auto tree = paro::ChatTemplate::parse(request.at("template").get<std::string>(), "template");
    paro::RenderLimits limits;
    limits.now = request.value("now", int64_t{-1});
    reply["text"] = tree->render(request.at("context"), limits);
    if (int64_t repeat = request.value("repeat", int64_t{0}); repeat > 0) {
      auto start = std::chrono::steady_clock::now();
      for (int64_t i = 0; i < repeat; ++i) tree->render(request.at("context"), limits);
      std::chrono::duration<double, std::milli> spent = std::chrono::steady_clock::now() - start;
      reply["ms"] = spent.count() / static_cast<double>(repeat);
    }
  } catch (const paro::Error& error) {
    reply["error"] = error.what();
  }
  return reply;
}

}  // namespace

int main() {
  for (std::string line; std::getline(std::cin, line);) {
    std::cout << paro::dump_json(render(paro::parse_json(line, "stdin"))) << std::endl;
  }
}
