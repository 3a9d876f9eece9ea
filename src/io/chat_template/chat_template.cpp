#include "io/chat_template/chat_template.h"

#include <new>
#include <stdexcept>

#include "base/error.h"
#include "io/chat_template/parser.h"
#include "io/chat_template/runtime.h"
#include "io/chat_template/scope.h"

namespace paro {

struct ChatTemplate::Impl {
  std::string place;
  jinja::Template tree;
};

ChatTemplate::ChatTemplate(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
ChatTemplate::~ChatTemplate() = default;

std::unique_ptr<const ChatTemplate> ChatTemplate::parse(std::string_view source, const std::string& place) {
  constexpr size_t kMaxSource = 4 << 20;
  if (source.size() > kMaxSource) {
    fail_input("{}: the chat template has {} bytes, expected at most {}", place, source.size(), kMaxSource);
  }
  auto impl = std::make_unique<Impl>();
  impl->place = place;
  jinja::Parser parser(jinja::tokenize(source, impl->place), impl->place);
  impl->tree.body = parser.parse();
  jinja::resolve_names(impl->tree, impl->place);
  return std::unique_ptr<const ChatTemplate>(new ChatTemplate(std::move(impl)));
}

std::string ChatTemplate::render(const Json& context, const RenderLimits& limits) const {
  try {
    jinja::Runtime runtime(context, limits, impl_->place);
    return runtime.render(impl_->tree);
  } catch (const std::bad_alloc&) {
    fail_limit("{}: out of memory while the chat template is rendered", impl_->place);
  } catch (const std::length_error&) {
    fail_input("{}: the chat template builds a value that is too large", impl_->place);
  }
}

}  // namespace paro
