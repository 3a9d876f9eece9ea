// paro report: plots and tables from result files.
#include "base/error.h"
#include "base/files.h"
#include "cli/command.h"
#include "cli/output.h"
#include "cli/report_page.h"
#include "cli/svg_plot.h"

namespace paro::cli {
namespace {

namespace fs = std::filesystem;

struct Flags {
  std::vector<std::string> files;
  std::string output;
  bool json = false;
};

/// A page of ours is made anew; anything else of that name is somebody's.
void refuse_foreign(const fs::path& page) {
  std::error_code ignored;
  if (fs::exists(page, ignored) && read_file(page).find(kReportMark) == std::string::npos)
    fail_input("{}: is already there and not a page of paro report; choose another folder", page.string());
}

int run(const Flags& flags) {
  const ReportInput input = read_results(flags.files);
  const std::vector<ReportFigure> figures = report_figures(input);
  const fs::path folder = flags.output;
  const fs::path page = folder / "index.html";
  refuse_foreign(page);
  make_writable_folder(folder);
  Json plots = Json::array();
  for (const ReportFigure& figure : figures) {
    const fs::path file = folder / (figure.name + ".svg");
    write_file(file, standalone_svg(figure.svg));
    plots.push_back(file.string());
  }
  write_file(page, report_page(input, figures));
  if (flags.json) {
    write_json({{"page", page.string()}, {"plots", plots}});
  } else {
    write_stdout(page.string() + "\n");
  }
  return 0;
}

}  // namespace

Command report_command() {
  return {
      "report", "plots and tables (HTML, SVG) from result files",
      "paro quantize MODEL -o DIR --report run.json\n"
      "paro eval DIR --task kl --teacher MODEL --text FILE --json > eval.json\n"
      "paro report run.json eval.json -o page",
      [](CLI::App& app, const CommonFlags&) {
        const auto flags = std::make_shared<Flags>();
        app.add_option("FILE", flags->files,
                       "JSON of `paro quantize --report`, `paro eval --json` or `paro bench --json` (repeatable)")
            ->required();
        app.add_option("-o,--output", flags->output, "folder for index.html and a .svg file for each plot")->required();
        app.add_flag("--json", flags->json, "one JSON document: page, plots");
        return [flags] { return run(*flags); };
      }};
}

}  // namespace paro::cli
