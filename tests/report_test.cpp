// What quantizing reports, and the page that paro report makes of it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <memory>

#include "base/error.h"
#include "base/files.h"
#include "base/json.h"
#include "run_paro.h"
#include "tiny_model.h"

namespace paro {
namespace {

using testing::HasSubstr;
using testing::Not;
namespace fs = std::filesystem;

class Report : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    folder_ = std::make_unique<TemporaryFolder>();
    write_tiny_model(*folder_ / "source", {.layers = 3});
    std::string text;
    for (int i = 0; i < 400; ++i)
      text += "the river " + std::to_string(i * 7919 % 1000) + " and a stone turn in the light of line " +
              std::to_string(i) + ".\n";
    write_file(*folder_ / "text.txt", text);
    quantize("four", {"--rotations", "4", "--transform", "online"});
    quantize("none", {"--rotations", "0", "--transform", "online"});
    quantize("rtn", {"--method", "rtn"});
  }
  static void TearDownTestSuite() { folder_.reset(); }

  static std::string at(const std::string& name) { return (*folder_ / name).string(); }
  static std::vector<std::string> quantize_arguments(const std::string& name, std::vector<std::string> more) {
    std::vector<std::string> arguments = {
        "quantize", at("source"),      "-o", at(name),        "--group-size", "32",        "--samples",
        "8",        "--seq-len",       "64", "--calibration", at("text.txt"), "--threads", "1",
        "--report", at(name + ".json")};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return arguments;
  }
  static void quantize(const std::string& name, std::vector<std::string> more) {
    const Outcome run = run_paro(quantize_arguments(name, std::move(more)));
    ASSERT_EQ(run.exit_code, 0) << run.err;
  }
  static std::unique_ptr<TemporaryFolder> folder_;
};

std::unique_ptr<TemporaryFolder> Report::folder_;

TEST_F(Report, HasTheFiguresOfEveryLinear) {
  const Json report = read_json(at("four.json"));
  ASSERT_EQ(report["layers"].size(), 3u);
  for (const Json& layer : report["layers"]) {
    ASSERT_EQ(layer["linears"].size(), 7u);
    for (const Json& linear : layer["linears"]) {
      SCOPED_TRACE(linear["name"].get<std::string>());
      const Json& loss = linear["loss"];
      // Each stage is there to lower the loss: the start is farther from the target than the corrected weight rounded,
      // and second-order rounding beats rounding to nearest in the same basis.
      EXPECT_GT(loss["start"].get<double>(), loss["rounded"].get<double>());
      EXPECT_GT(loss["rotated"].get<double>(), loss["rounded"].get<double>());
      EXPECT_GT(loss["corrected"].get<double>(), 0.0);
      EXPECT_GE(linear["weights"]["before"]["peak_mean"].get<double>(), 1.0);
      EXPECT_LT(linear["weights"]["after"]["peak_mean"].get<double>(),
                linear["weights"]["before"]["peak_mean"].get<double>());
      EXPECT_GE(linear["activations"]["before"]["peak_in_groups"].get<double>(), 1.0);
      EXPECT_GE(linear["activations"]["after"]["peak"].get<double>(), 1.0);
      const int64_t pairs = linear["in"].get<int64_t>() / 2;
      EXPECT_EQ(linear["angles"]["count"], 4 * pairs);
      int64_t binned = 0;
      for (const Json& bin : linear["angles"]["histogram"]) binned += bin.get<int64_t>();
      EXPECT_EQ(binned, 4 * pairs);
      EXPECT_LE(linear["angles"]["mean"].get<double>(), linear["angles"]["max"].get<double>());
      EXPECT_LE(linear["scales"]["min"].get<double>(), linear["scales"]["median"].get<double>());
      EXPECT_LE(linear["clipped"].get<double>(), 0.2);
    }
    for (const char* text : {"calibration", "held_out"}) {
      EXPECT_GT(layer["errors"][text].get<double>(), 0.0);
      EXPECT_LT(layer["errors"][text].get<double>(), 1.0);
    }
  }
  // The set's losses are those of its linears, weighted by their energies: between the least and the largest.
  const Json& set = report["layers"][0]["sets"][0];
  double least = 1e9, most = 0.0;
  for (size_t i = 0; i < 3; ++i) {
    const double loss = report["layers"][0]["linears"][i]["loss"]["rounded"].get<double>();
    least = std::min(least, loss);
    most = std::max(most, loss);
  }
  EXPECT_GE(set["loss"].get<double>(), least * (1 - 1e-9));
  EXPECT_LE(set["loss"].get<double>(), most * (1 + 1e-9));
  EXPECT_EQ(report["calibration"]["held_out"], 1);
  EXPECT_EQ(report["calibration"]["files"][0]["windows"], 8);
  EXPECT_GT(report["quality"]["held_out"]["kl"].get<double>(), 0.0);
  EXPECT_GT(report["bytes"].get<int64_t>(), 0);
  EXPECT_THAT(read_file(at("four/README.md")), HasSubstr("held-out text"));
  // Rounding to nearest sees no text.
  EXPECT_TRUE(read_json(at("rtn.json"))["layers"][0]["linears"][0]["loss"].is_null());
}

TEST_F(Report, BecomesAPageThatNeedsNothingElse) {
  const Outcome eval =
      run_paro({"eval", at("four"), "--task", "kl", "--teacher", at("source"), "--text", at("text.txt"), "--window",
                "64", "--limit-tokens", "2000", "--json", "--no-prepared-cache"});
  ASSERT_EQ(eval.exit_code, 0) << eval.err;
  write_file(at("eval.json"), eval.out);
  const Outcome bench = run_paro({"bench", at("four"), "--rows", "1,8", "--contexts", "0,32", "--tokens", "2",
                                  "--repeats", "1", "--json", "--no-prepared-cache"});
  ASSERT_EQ(bench.exit_code, 0) << bench.err;
  write_file(at("bench.json"), bench.out);
  const std::vector<std::string> arguments = {
      "report", at("four.json"), at("none.json"), at("rtn.json"), at("eval.json"), at("bench.json"), "-o", at("page")};
  for (int time = 0; time < 2; ++time) {  // a page of ours is made anew
    const Outcome run = run_paro(arguments);
    ASSERT_EQ(run.exit_code, 0) << run.err;
    EXPECT_EQ(run.out, at("page/index.html") + "\n");
  }
  const std::string page = read_file(at("page/index.html"));
  // Nothing from elsewhere: the only address is the name of SVG.
  std::string rest = page;
  for (size_t i = rest.find("http://www.w3.org/2000/svg"); i != std::string::npos;
       i = rest.find("http://www.w3.org/2000/svg"))
    rest.erase(i, 26);
  for (const char* foreign : {"http", "src=", "href=", "url(", "@import", "<script"})
    EXPECT_THAT(rest, Not(HasSubstr(foreign))) << foreign;
  const Json kl = read_json(at("eval.json"))["kl_mean"];
  EXPECT_THAT(page, HasSubstr(fmt::format("{:.4g}", kl.get<double>())));
  for (const char* part : {"Method against method", "Rounds of rotations", "Error of the residual stream",
                           "Loss by stage", "Outliers of the weights", "Angles", "Quality against size", "Decoding",
                           "paroquant, K=4", "paroquant, K=0", "<table>", "role=\"img\"", "prefers-color-scheme:dark"})
    EXPECT_THAT(page, HasSubstr(part));
  int plots = 0;
  for (const auto& file : fs::directory_iterator(at("page"))) {
    if (file.path().extension() != ".svg") continue;
    ++plots;
    const std::string svg = read_file(file.path());
    EXPECT_TRUE(svg.starts_with("<svg ")) << file.path();
    EXPECT_THAT(svg, HasSubstr("<title>"));
    EXPECT_THAT(svg, Not(HasSubstr("nan")));
    EXPECT_THAT(svg, Not(HasSubstr("inf")));
    if (std::system("python3 -c '' > /dev/null 2>&1") == 0) {
      const std::string parse = "python3 -c 'import sys, xml.dom.minidom; xml.dom.minidom.parse(sys.argv[1])' ";
      EXPECT_EQ(std::system((parse + file.path().string()).c_str()), 0) << file.path();
    }
  }
  EXPECT_GE(plots, 12);
}

TEST_F(Report, SaysWhatIsWrongWithAFile) {
  const auto error_of = [&](const std::string& text) {
    write_file(at("bad.json"), text);
    const Outcome run = run_paro({"report", at("bad.json"), "-o", at("never")});
    EXPECT_EQ(run.exit_code, 1) << text;
    EXPECT_EQ(std::count(run.err.begin(), run.err.end(), '\n'), 1);
    EXPECT_THAT(run.err, HasSubstr("bad.json"));
    return run.err;
  };
  EXPECT_THAT(error_of("{\"a\": "), HasSubstr("bad.json"));
  EXPECT_THAT(error_of("[1]"), HasSubstr("expected an object, found an array"));
  EXPECT_THAT(error_of("{\"model\": 1}"), HasSubstr("expected the JSON of"));
  EXPECT_THAT(error_of(R"({"settings": 3, "layers": []})"), HasSubstr("\"settings\""));
  EXPECT_THAT(error_of(R"({"settings": {}, "layers": {"a": 1}})"), HasSubstr("\"layers\": expected a list"));
  EXPECT_THAT(error_of(R"({"settings": {}, "layers": [{"linears": [{"loss": {"start": "x"}}]}]})"),
              HasSubstr("\"start\""));
  EXPECT_THAT(error_of(R"({"task": ["kl"], "kl_mean": []})"), HasSubstr("\"kl_mean\""));
  EXPECT_FALSE(fs::exists(at("never")));
  fs::create_directories(at("mine"));
  write_file(at("mine/index.html"), "<html>mine</html>");
  const Outcome run = run_paro({"report", at("four.json"), "-o", at("mine")});
  EXPECT_EQ(run.exit_code, 1);
  EXPECT_THAT(run.err, HasSubstr("not a page of paro report"));
  EXPECT_EQ(read_file(at("mine/index.html")), "<html>mine</html>");
}

TEST_F(Report, NamesAreText) {
  Json report = read_json(at("four.json"));
  report["settings"]["method"] = "<b>&\"x";
  report["warnings"] = {{{"sign", "s"}, {"message", "<i>m"}, {"advice", "a"}}};
  write_file(at("odd.json"), dump_json(report));
  ASSERT_EQ(run_paro({"report", at("odd.json"), "-o", at("odd")}).exit_code, 0);
  const std::string page = read_file(at("odd/index.html"));
  EXPECT_THAT(page, Not(HasSubstr("<b>")));
  EXPECT_THAT(page, Not(HasSubstr("<i>")));
  EXPECT_THAT(page, HasSubstr("&lt;b&gt;&amp;&quot;x"));
}

}  // namespace
}  // namespace paro
