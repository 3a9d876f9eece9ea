#include "cli/report_page.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "base/progress.h"
#include "calib/failure_signs.h"
#include "cli/output.h"
#include "cli/svg_plot.h"

namespace paro::cli {
namespace {

constexpr const char* kPageStyle = R"(
body{margin:0 auto;max-width:1200px;padding:1rem;font:16px/1.5 system-ui,sans-serif;color:var(--fg);background:Canvas}
h1,h2,h3{line-height:1.2}
h2{margin-top:2.5rem;border-bottom:1px solid var(--grid)}
figure{margin:2rem 0}
figcaption h3{margin:0}
figcaption p{margin:.2rem 0 .6rem;font-size:.9rem}
.scroll{overflow-x:auto}
table{border-collapse:collapse;font-size:.9rem}
caption{text-align:left;padding:.3rem 0}
th,td{padding:.25rem .45rem;text-align:right;border-bottom:1px solid var(--grid);white-space:nowrap}
th:first-child,td:first-child{text-align:left}
thead th{border-bottom:2px solid var(--fg);vertical-align:bottom;white-space:normal}
summary{cursor:pointer;font-size:.9rem}
.sign{border-left:4px solid var(--c7);padding:.2rem .8rem;margin:.6rem 0}
)";

std::string cell(const char* tag, const std::string& text, const char* scope = "") {
  return fmt::format("<{0}{1}>{2}</{0}>", tag, scope, escape_markup(text));
}

std::string table_html(const ReportTable& table, const std::string& caption) {
  std::string html = "<div class=\"scroll\"><table>";
  if (!caption.empty()) html += cell("caption", caption);
  html += "<thead><tr>";
  for (const std::string& head : table.head) html += cell("th", head, " scope=\"col\"");
  html += "</tr></thead><tbody>\n";
  for (const auto& row : table.rows) {
    html += "<tr>";
    for (size_t i = 0; i < row.size(); ++i) html += i == 0 ? cell("th", row[i], " scope=\"row\"") : cell("td", row[i]);
    html += "</tr>\n";
  }
  return html + "</tbody></table></div>\n";
}

std::string bytes_text(double bytes) { return std::isfinite(bytes) ? size_text(static_cast<int64_t>(bytes)) : "-"; }

std::string setting_text(const QuantizeRun& run, const char* key) {
  const auto found = run.settings.find(key);
  if (found == run.settings.end()) return "-";
  return found->is_string() ? found->get<std::string>() : dump_json(*found);
}

std::string runs_html(const ReportInput& input) {
  if (input.runs.empty()) return "";
  ReportTable table{{"run", "bits", "group", "rounds", "samples", "KL, calibration text", "KL, held-out text",
                     "perplexity ratio, held out", "mean loss", "clipped, %", "size", "time"},
                    {}};
  for (const QuantizeRun& run : input.runs) {
    double clipped = 0.0;
    double count = 0.0;
    for (const LayerFigures& layer : run.layers)
      for (const LinearFigures& linear : layer.linears) {
        clipped += linear.clipped;
        count += 1.0;
      }
    table.rows.push_back({run.label, setting_text(run, "bits"), setting_text(run, "group_size"),
                          setting_text(run, "rotations"), setting_text(run, "samples"), figure_text(run.kl),
                          figure_text(run.held_out_kl), figure_text(run.perplexity_ratio),
                          figure_text(run.mean_loss(3)), figure_text(100.0 * clipped / count), bytes_text(run.bytes),
                          run.seconds == run.seconds ? duration_text(run.seconds) : "-"});
  }
  return "<h2>Quantized models</h2>\n" +
         table_html(table, "KL in nats against full precision; loss: of what is written");
}

std::string evals_html(const ReportInput& input) {
  if (input.evals.empty()) return "";
  ReportTable table{{"model", "text", "perplexity", "full precision", "ratio", "KL, mean", "KL, 99th percentile",
                     "same top token, %"},
                    {}};
  for (const EvalRun& eval : input.evals)
    table.rows.push_back({eval.model, eval.texts, figure_text(eval.perplexity), figure_text(eval.teacher_perplexity),
                          figure_text(eval.ratio), figure_text(eval.kl), figure_text(eval.kl_p99),
                          figure_text(100.0 * eval.top1)});
  return "<h2>Evaluations</h2>\n" + table_html(table, "");
}

std::string benches_html(const ReportInput& input) {
  if (input.benches.empty()) return "";
  ReportTable table{
      {"model", "instruction set", "weights", "memory", "best prefill, tokens/s", "best decode, tokens/s"}, {}};
  const auto best = [](const std::vector<BenchPoint>& points) {
    double most = 0.0;
    for (const BenchPoint& point : points) most = std::max(most, point.tokens_per_second);
    return points.empty() ? std::string("-") : figure_text(most);
  };
  for (const BenchRun& bench : input.benches)
    table.rows.push_back({bench.model, bench.isa, bytes_text(bench.weights_bytes), bytes_text(bench.resident_bytes),
                          best(bench.prefill), best(bench.decode)});
  return "<h2>Speed</h2>\n" + table_html(table, "");
}

std::string sign_html(const std::string& subject, const std::string& message, const std::string& advice) {
  return fmt::format("<p class=\"sign\"><strong>{}</strong>: {}.<br>What to do: {}.</p>\n", escape_markup(subject),
                     escape_markup(message), escape_markup(advice));
}

std::string signs_html(const ReportInput& input) {
  std::string html;
  for (const QuantizeRun& run : input.runs)
    for (const SignFigures& sign : run.signs) html += sign_html(run.label, sign.message, sign.advice);
  for (const EvalRun& eval : input.evals)
    for (const calib::FailureSign& sign : calib::perplexity_signs(eval.ratio))
      html += sign_html(eval.model, sign.message, sign.advice);
  return "<h2>Warnings</h2>\n" + (html.empty() ? "<p>None.</p>\n" : html);
}

std::string figure_html(const ReportFigure& figure) {
  return fmt::format(
      "<figure id=\"{}\"><figcaption><h3>{}</h3><p>{}</p></figcaption>\n{}<details><summary>Table"
      "</summary>\n{}</details></figure>\n",
      figure.name, escape_markup(figure.title), escape_markup(figure.note), figure.svg, table_html(figure.table, ""));
}

}  // namespace

std::string report_page(const ReportInput& input, const std::vector<ReportFigure>& figures) {
  std::string html = "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n";
  html += "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n";
  html += std::string(kReportMark) + "\n<title>paro report</title>\n<style>\n" + plot_style() + kPageStyle +
          "</style>\n</head>\n<body>\n<main>\n<h1>paro report</h1>\n";
  html += runs_html(input) + evals_html(input) + benches_html(input) + signs_html(input);
  if (!figures.empty()) html += "<h2>Plots</h2>\n";
  for (const ReportFigure& figure : figures) html += figure_html(figure);
  return html + "</main>\n</body>\n</html>\n";
}

}  // namespace paro::cli
