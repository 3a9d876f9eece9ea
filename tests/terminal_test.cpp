// The chat as somebody at a terminal sees it.
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <string>
#include <vector>

#include "base/files.h"
#include "base/json.h"
#include "run_paro.h"
#include "tiny_model.h"

namespace paro {
namespace {

/// The editor switches bracketed paste on once it reads keys, and off when it has a line.
constexpr const char* kReadsKeys = "\033[?2004h";
constexpr const char* kHasLine = "\033[?2004l";

TerminalStep at_prompt(std::string keys) { return {kReadsKeys, std::move(keys)}; }
TerminalStep shows(std::string text) { return {std::move(text), ""}; }

class Terminal : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    folder_ = new TemporaryFolder;
    write_tiny_model(*folder_ / "model");
    write_tiny_model(*folder_ / "endless", {.layers = 8, .max_positions = 100'000});
  }
  static void TearDownTestSuite() { delete folder_; }

  Outcome chat(const std::string& model, const std::vector<std::string>& flags,
               const std::vector<TerminalStep>& steps) {
    std::vector<std::string> arguments = {"chat", *folder_ / model, "--seed", "1", "--ignore-eos"};
    arguments.insert(arguments.end(), flags.begin(), flags.end());
    const Outcome run =
        run_paro_on_terminal(arguments, steps, {"XDG_STATE_HOME=" + home_.path().string(), "NO_COLOR=1"});
    EXPECT_EQ(run.exit_code, 0) << run.out;
    EXPECT_EQ(run.err, "") << run.out;
    return run;
  }
  Json messages_in(const std::string& name) const { return read_json(home_ / name)["messages"]; }

  static TemporaryFolder* folder_;
  TemporaryFolder home_;
};
TemporaryFolder* Terminal::folder_ = nullptr;

TEST_F(Terminal, Conversation) {
  const std::string saved = home_ / "saved.json";
  chat("model", {"-n", "8"},
       {shows("/help shows what can be typed"), at_prompt("/help\r"), shows("/system TEXT"), shows("Ctrl-C stops"),
        at_prompt("/hlep\r"), shows("did you mean '/help'?"),
        // Two characters back, two typed and erased again, to the end.
        at_prompt("hel\x02\x02xx\x7f\x7f\x05lo\r"), shows("[8 tokens, "), shows("the limit of -n]"),
        at_prompt("/set temperature 0\r"), at_prompt("/set\r"), shows("temperature 0"),
        at_prompt("/system Be brief.\r"), shows("(system message set)"), at_prompt("/save " + saved + "\r"),
        shows("(3 messages written to " + saved + ")"), at_prompt("/regen\r"), shows("the limit of -n]"),
        at_prompt("/clear\r"), shows("(cleared)"), at_prompt("/save " + saved + ".cleared\r"), shows("(1 messages"),
        at_prompt("/load " + saved + "\r"), shows("(3 messages)"), at_prompt("/exit\r")});
  const Json messages = messages_in("saved.json");
  ASSERT_EQ(messages.size(), 3u);
  EXPECT_EQ(messages[0], Json({{"role", "system"}, {"content", "Be brief."}}));
  EXPECT_EQ(messages[1], Json({{"role", "user"}, {"content", "hello"}}));
  EXPECT_EQ(messages[2]["role"], "assistant");
  EXPECT_EQ(messages_in("saved.json.cleared"), Json::array({messages[0]}));
}

TEST_F(Terminal, MessagesOfSeveralLines) {
  chat("model", {"-n", "4"},
       {at_prompt("one \\\r"), at_prompt("two\r"), shows("the limit of -n]"),              // a backslash goes on
        at_prompt("\"\"\"\r"), at_prompt("a\r"), at_prompt("b\"\"\"\r"), shows("of -n]"),  // a block
        at_prompt("x\033\ry\r"), shows("the limit of -n]"),                                // Alt-Enter
        at_prompt("\033[200~a pasted\rmessage\033[201~\r"), shows("the limit of -n]"),
        at_prompt("/save " + (home_ / "saved.json").string() + "\r"), shows("messages written"), at_prompt("\x04")});
  const Json messages = messages_in("saved.json");
  ASSERT_EQ(messages.size(), 8u);
  EXPECT_EQ(messages[0]["content"], "one \ntwo");
  EXPECT_EQ(messages[2]["content"], "a\nb");
  EXPECT_EQ(messages[4]["content"], "x\ny");
  EXPECT_EQ(messages[6]["content"], "a pasted\nmessage");
}

TEST_F(Terminal, HistoryOfThisRunAndOfEarlierOnes) {
  chat("model", {"-n", "2"},
       {at_prompt("first\r"), shows("of -n]"), at_prompt("of\\\r"), at_prompt("lines\r"), shows("of -n]"),
        at_prompt("\033[A\033[A\033[A\r"), shows("of -n]"),  // up in the message of two lines, then "first"
        at_prompt("\x04")});
  const std::filesystem::path file = home_ / "paro" / "history";
  EXPECT_EQ(read_file(file), "first\nof\\nlines\nfirst\n");
  EXPECT_EQ(std::filesystem::status(file).permissions(),
            std::filesystem::perms::owner_read | std::filesystem::perms::owner_write);

  chat("model", {"-n", "2"}, {at_prompt("\033[A\033[A\033[A\033[B\x05 again\r"), shows("of -n]"), at_prompt("\x04")});
  EXPECT_TRUE(read_file(file).ends_with("\nof\\nlines again\n")) << read_file(file);
}

TEST_F(Terminal, ControlCStopsTheAnswerAndNotTheChat) {
  // At this temperature every letter comes soon.
  const std::vector<TerminalStep> stopped = {shows(kHasLine), {"e", "\x03"}, shows("; stopped]")};
  std::vector<TerminalStep> steps = {at_prompt("go\r")};
  steps.insert(steps.end(), stopped.begin(), stopped.end());
  steps.push_back(at_prompt("on\r"));
  steps.insert(steps.end(), stopped.begin(), stopped.end());
  steps.push_back(at_prompt("\x04"));
  chat("endless", {"--temperature", "5"}, steps);
}

TEST_F(Terminal, WhatIsTypedDuringAnAnswerWaitsForThePrompt) {
  const Outcome run = chat("endless", {"--temperature", "5", "-n", "800"},
                           {at_prompt("go\r"),
                            shows(kHasLine),
                            {"e", "/typed early\r"},
                            shows("the limit of -n]"),
                            shows("unknown command '/typed'"),
                            at_prompt("\x04")});
  // Not echoed into the answer.
  const size_t answer = run.out.find(kHasLine);
  const size_t end = run.out.find("the limit of -n]");
  EXPECT_EQ(run.out.substr(answer, end - answer).find("/typed early"), std::string::npos) << run.out;
}

TEST_F(Terminal, AnAnswerCannotSteerTheTerminal) {
  const Outcome run = chat("endless", {"--temperature", "9", "-n", "600"},
                           {at_prompt("go\r"), shows("the limit of -n]"), at_prompt("\x04")});
  const size_t answer = run.out.find(kHasLine) + std::string(kHasLine).size();
  const std::string text = run.out.substr(answer, run.out.find("the limit of -n]") - answer);
  for (const char control : {'\x00', '\x07', '\x08', '\x0e', '\x1b', '\x7f'}) {
    EXPECT_EQ(text.find(control), std::string::npos) << static_cast<int>(control);
  }
}

TEST_F(Terminal, ControlCAtThePromptDropsTheLineAndTwiceLeaves) {
  chat("model", {}, {at_prompt("half a line\x03"), at_prompt("\x03"), shows("Ctrl-C again"), at_prompt("\x03")});
}

}  // namespace
}  // namespace paro
