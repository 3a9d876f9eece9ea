#include "io/chat_template/chat_template.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <thread>

#include "base/error.h"
#include "base/json.h"

namespace paro {
namespace {

std::string render(std::string_view source, const Json& context = Json::object(), const RenderLimits& limits = {}) {
  return ChatTemplate::parse(source, "t.jinja")->render(context, limits);
}

std::string error_of(std::string_view source, const Json& context = Json::object(), const RenderLimits& limits = {}) {
  try {
    return "rendered: " + render(source, context, limits).substr(0, 100);
  } catch (const Error& error) {
    EXPECT_TRUE(error.kind() == ErrorKind::kInput) << error.what();
    return error.what();
  }
}

RenderLimits small_limits() {
  RenderLimits limits;
  limits.steps = 300'000;
  limits.output_bytes = 1 << 20;
  return limits;
}

// The answers are those of transformers (tools/fixtures/make_chat_templates.py).
TEST(ChatTemplate, RendersAsTransformersDoes) {
  const Json fixture = read_json(PARO_SOURCE_DIR "/tests/fixtures/chat_template/cases.json");
  RenderLimits limits;
  limits.now = fixture.at("now").get<int64_t>();
  ASSERT_GT(fixture.at("cases").size(), 200u);
  for (const Json& test : fixture.at("cases")) {
    const std::string source = test.at("template").get<std::string>();
    SCOPED_TRACE(source);
    try {
      const std::string found = render(source, fixture.at("context"), limits);
      EXPECT_FALSE(test.contains("error")) << "rendered: " << found;
      EXPECT_EQ(found, test.value("text", std::string()));
    } catch (const Error& error) {
      EXPECT_TRUE(test.contains("error")) << error.what();
    }
  }
}

TEST(ChatTemplate, ErrorsNameThePlaceTheLineAndTheReason) {
  using testing::HasSubstr;
  EXPECT_EQ(error_of("a\n{{ raise_exception('no system role') }}"), "t.jinja, line 2: no system role");
  EXPECT_EQ(error_of("\n\n{{ a.b.c }}"), "t.jinja, line 3: 'a' is undefined");
  EXPECT_THAT(error_of("{% if x %}"), HasSubstr("expected 'endif'"));
  EXPECT_THAT(error_of("{% foo %}"), HasSubstr("unknown tag 'foo'"));
  EXPECT_THAT(error_of("{{ 1|bar }}"), HasSubstr("no filter named 'bar'"));
  EXPECT_THAT(error_of("{{ [].append(1) }}"), HasSubstr("unsafe"));
  EXPECT_THAT(error_of("x", Json::array()), HasSubstr("must be an object"));
}

TEST(ChatTemplate, IntegersBeyond64BitsAreErrors) {
  EXPECT_THAT(error_of("{{ 2 ** 64 }}"), testing::HasSubstr("64 bits"));
  EXPECT_THAT(error_of("{{ 9223372036854775807 + 1 }}"), testing::HasSubstr("64 bits"));
  EXPECT_THAT(error_of("{{ 9223372036854775808 }}"), testing::HasSubstr("64 bits"));
  EXPECT_EQ(render("{{ (-9223372036854775807 - 1) // 1 }}"), "-9223372036854775808");
  EXPECT_THAT(error_of("{{ (-9223372036854775807 - 1) // -1 }}"), testing::HasSubstr("64 bits"));
}

TEST(ChatTemplate, InvalidUtf8StaysAndCountsByBytes) {
  Json context = {{"s", "a\xFF\xC3z"}};
  EXPECT_EQ(render("{{ s|length }} {{ s[1:3] }} {{ s|reverse }} {{ s|upper }}", context),
            "4 \xFF\xC3 z\xC3\xFF"
            "a A\xFF\xC3Z");
}

// Each must end with an error soon, whatever it asks for.
TEST(ChatTemplate, HostileTemplatesEndWithAnError) {
  const char* const kSources[] = {
      "{{ 'a' * 10**9 }}",
      "{{ [1] * 10**12 }}",
      "{% for a in range(100000) %}{% for b in range(100000) %}{% endfor %}{% endfor %}",
      "{% set ns = namespace(x='ab') %}{% for i in range(60) %}{% set ns.x = ns.x ~ ns.x %}{% endfor %}",
      "{% set ns = namespace(x=[1]) %}{% for i in range(60) %}{% set ns.x = [ns.x, ns.x] %}{% endfor %}{{ ns.x }}",
      "{% set ns = namespace(x=[1]) %}{% for i in range(60) %}{% set ns.x = [ns.x, ns.x] %}{% endfor %}{{ ns.x|tojson "
      "}}",
      "{% set ns = namespace(x=[1], y=[1]) %}{% for i in range(60) %}{% set ns.x = [ns.x, ns.x] %}"
      "{% set ns.y = [ns.y, ns.y] %}{% endfor %}{{ ns.x == ns.y }}",
      "{% set ns = namespace(x=[]) %}{% for i in range(99999) %}{% set ns.x = [ns.x] %}{% endfor %}",
      "{% set ns = namespace(x={}) %}{% for i in range(99999) %}{% set ns.x = {'a': ns.x} %}{% endfor %}",
      "{% set ns = namespace(x=[]) %}{% for i in range(99999) %}{% set ns.x = cycler(ns.x) %}{% endfor %}",
      "{% set ns = namespace(x=[]) %}{% for i in range(99999) %}{% set ns.x = [ns.x]|map('list') %}{% endfor %}",
      "{{ '%999999999d' % 1 }}",
      "{{ '%.999999999d' % 1 }}",
      "{{ '%*s' % (999999999999, 'a') }}",
      "{{ '{:999999999999}'.format(1) }}",
      "{{ 'a'.ljust(10**12) }}",
      "{{ 'a'.zfill(10**12) }}",
      "{{ '\\t'.expandtabs(10**12) }}",
      "{{ ('a' * 500000).replace('a', 'b' * 500000) }}",
      "{{ ('b' * 500000).join('a' * 500000) }}",
      "{{ ('a' * 500000)|list|join('b' * 500000) }}",
      "{{ 'a'|indent(10**12) }}",
      "{{ [1]|tojson(indent=10**12) }}",
      "{{ [1]|batch(10**12, 1)|list }}",
      "{{ [1]|slice(10**12)|list }}",
      "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
      "{% macro f() %}{{ f() }}{{ f() }}{% endmacro %}{{ f() }}",
      "{% macro f() %}{% call f() %}{% endcall %}{% endmacro %}{{ f() }}",
      "{% set ns = namespace() %}{% set ns.x = ns %}{{ ns }}",
      "{% set x = [[1]] %}{% for a in x recursive %}{{ loop(x) }}{% endfor %}",
      "{% macro m() %}{% macro n() %}{% endmacro %}{% endmacro %}{% for i in range(99999) %}{% for j in range(99999) %}"
      "{{ m() }}{% endfor %}{% endfor %}",
      "{% set ns = namespace(f=1) %}{% macro m(p) %}{% macro n() %}{{ p }}{% endmacro %}{% set ns.f = n %}{% endmacro "
      "%}"
      "{% for i in range(99999) %}{{ m(ns.f) }}{% endfor %}",
      "{% set ns = namespace(l=[1]) %}{% for i in range(99999) %}{% for x in [ns.l] %}{% set ns.l = loop %}{% endfor %}"
      "{% endfor %}",
      "{% for x in range(99999) %}{{ 'x' * 100 }}{% endfor %}",
      "{{ range(10**12) }}",
      "{% for x in [1] %}{{ loop.changed(loop) }}{{ 1 + '' }}{% endfor %}",
  };
  for (const char* source : kSources) {
    SCOPED_TRACE(source);
    auto start = std::chrono::steady_clock::now();
    EXPECT_THAT(error_of(source, Json::object(), small_limits()), testing::StartsWith("t.jinja"));
    EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(4));
  }
}

std::string repeat(std::string_view text, int count) {
  std::string out;
  for (int i = 0; i < count; ++i) out += text;
  return out;
}

TEST(ChatTemplate, DeepNestingIsRefusedWhenItIsParsed) {
  constexpr int kDeep = 100000;
  EXPECT_THAT(error_of("{{ " + repeat("(", kDeep)), testing::HasSubstr("too deeply"));
  EXPECT_THAT(error_of("{{ " + repeat("[", kDeep)), testing::HasSubstr("too deeply"));
  EXPECT_THAT(error_of("{{ " + repeat("{1:", kDeep)), testing::HasSubstr("too deeply"));
  EXPECT_THAT(error_of("{{ " + repeat("not ", kDeep)), testing::HasSubstr("too deeply"));
  EXPECT_THAT(error_of("{{ " + repeat("-", kDeep) + "1"), testing::HasSubstr("too deeply"));
  EXPECT_THAT(error_of("{{ a" + repeat(".a", kDeep)), testing::HasSubstr("too deeply"));
  EXPECT_THAT(error_of("{{ a" + repeat("+a", kDeep)), testing::HasSubstr("too deeply"));
  EXPECT_THAT(error_of("{{ a" + repeat("|d", kDeep)), testing::HasSubstr("too deeply"));
  EXPECT_THAT(error_of("{{ a" + repeat(" if a else a", kDeep)), testing::HasSubstr("too deeply"));
  EXPECT_THAT(error_of("{% set " + repeat("(", kDeep)), testing::HasSubstr("too deeply"));
  EXPECT_THAT(error_of(repeat("{% if a %}", kDeep)), testing::HasSubstr("too deeply"));
  EXPECT_THAT(error_of(repeat("{% for a in a %}", kDeep)), testing::HasSubstr("too deeply"));
}

TEST(ChatTemplate, LongFlatTemplatesAreParsedQuickly) {
  std::string source = "{% if a == 0 %}0";
  for (int i = 1; i < 3000; ++i)
    source += "{% elif a == " + std::to_string(i) + " %}{% set v" + std::to_string(i) + " = 1 %}";
  source += "{% endif %}";
  for (int i = 0; i < 3000; ++i) source += "{% if a %}{% set w" + std::to_string(i) + " = a %}{% endif %}";
  EXPECT_EQ(render(source + "{{ w7 }}", {{"a", 5}}), "5");
  EXPECT_EQ(render("{{ '' " + repeat("~ 'a' ", 3000) + "}}").size(), 3000u);
}

TEST(ChatTemplate, ATruncatedTemplateNeverCrashes) {
  const std::string source =
      "{%- for m in messages if m.role != 'x' %}{# c #}{% raw %}r{% endraw %}{% macro f(a, b=1) %}{{ "
      "a[1:2]|map('upper')"
      "|join(', ', attribute=none) }}{% endmacro %}{% set x, ns.y = (1, {'a': [2.5e3, \"\\u00e9\"]}) %}{{ f(1, *[2], "
      "**{}) "
      "if x is not none and 1 < 2 <= 3 else -x ** 2 }}{% call(q) f(1) %}{% endcall %}{% endfor %}";
  for (size_t size = 0; size < source.size(); ++size)
    error_of(source.substr(0, size), {{"messages", Json::array({1})}});
}

TEST(ChatTemplate, OneTemplateRendersInManyThreads) {
  auto tree = ChatTemplate::parse("{% for x in xs %}{{ 'v' ~ x ~ ['a', 'b'][x % 2] }}{% endfor %}", "t");
  const Json context = {{"xs", {1, 2, 3, 4, 5, 6, 7, 8}}};
  const std::string expected = tree->render(context);
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      for (int k = 0; k < 200; ++k) EXPECT_EQ(tree->render(context), expected);
    });
  }
  for (std::thread& thread : threads) thread.join();
}

TEST(ChatTemplate, DepthAndStepsAreLimits) {
  RenderLimits limits;
  limits.depth = 10;
  const char* source = "{% macro f(k) %}{{ f(k - 1) if k else 'end' }}{% endmacro %}{{ f(n) }}";
  EXPECT_EQ(render(source, {{"n", 9}}, limits), "end");
  EXPECT_THAT(error_of(source, {{"n", 10}}, limits), testing::HasSubstr("too deeply"));
  EXPECT_EQ(render(source, {{"n", 150}}), "end");
  limits.steps = 100;
  EXPECT_THAT(error_of("{% for i in range(1000) %}{% endfor %}", Json::object(), limits),
              testing::HasSubstr("too many"));
  EXPECT_THAT(error_of("{% set x = range(1000)|map('string') %}", Json::object(), limits),
              testing::HasSubstr("too many"));
}

}  // namespace
}  // namespace paro
