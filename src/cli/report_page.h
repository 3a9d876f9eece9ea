// A report as one HTML page that needs nothing else.
#pragma once

#include <string>
#include <vector>

#include "cli/report_input.h"
#include "cli/report_plots.h"

namespace paro::cli {

/// Marks pages made by paro, which may be made anew.
inline constexpr const char* kReportMark = "<meta name=\"generator\" content=\"paro report\">";

std::string report_page(const ReportInput& input, const std::vector<ReportFigure>& figures);

}  // namespace paro::cli
