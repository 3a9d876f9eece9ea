// The plots of a report and the tables beside them.
#pragma once

#include <string>
#include <vector>

#include "cli/report_input.h"

namespace paro::cli {

struct ReportTable {
  std::vector<std::string> head;
  std::vector<std::vector<std::string>> rows;
};

struct ReportFigure {
  std::string name;  // of its file, without ".svg"
  std::string title;
  std::string note;  // what is shown, in a sentence or two
  std::string svg;
  ReportTable table;
};

/// What the results allow: a figure that would show nothing is left out.
std::vector<ReportFigure> report_figures(const ReportInput& input);

/// KL of the runs to full precision, all measured in one way, so that they can be compared.
struct Divergences {
  std::string measured_on;     // "wiki.test.raw", "each run's held-out windows"
  std::vector<double> of_run;  // NaN: not measured that way
};
/// By the evaluations on one text with one teacher that belong to the most runs, when these are two runs or all; else
/// of each run's held-out text.
Divergences divergences_of(const ReportInput& input);
/// "0.0512", "-" for NaN.
std::string figure_text(double value);

}  // namespace paro::cli
