// SPDX-License-Identifier: Apache-2.0
// What a benchmark found: figures beside their bounds, as a table for people
// and as bench.json.
#pragma once

#include <string>
#include <vector>

namespace spanlm {

// One figure. What it is held against was measured beside it, in the same
// rounds; a limit of the machine is held against nothing.
struct BenchRow {
  std::string name;  // "decode_b8_fp32_uniform"
  std::string unit;
  std::vector<double> values;  // one a measurement, at least one
  std::vector<double> bounds;  // in `unit`; empty: no bound
};

// `values` is not empty.
double Median(std::vector<double> values);

// (largest − smallest) / median; `values` is not empty.
double Spread(const std::vector<double>& values);

// A Markdown table: medians, spread and share of the bound.
std::string BenchTable(const std::vector<BenchRow>& rows);

// A list of {"name","value","unit","bound","fraction","peer","peer_name",
// "ratio","rounds","spread"}, one object a row; medians, `fraction` is value /
// bound, `rounds` counts the values. What a row has not got is null: bound and
// fraction of a limit, and what concerns a peer, as no peer runs here.
std::string BenchJson(const std::vector<BenchRow>& rows);

}  // namespace spanlm
