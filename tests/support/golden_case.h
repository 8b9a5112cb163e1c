// SPDX-License-Identifier: Apache-2.0
// The reference vectors' evaluations, as their .json files describe them.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <iostream>
#include <map>
#include <string>
#include <vector>

#include "nlohmann/json.hpp"
#include "tests/support/golden_path.h"
#include "tests/support/temp_dir.h"

namespace spanlm {

inline nlohmann::json GoldenJson(const std::string& name) {
  return nlohmann::json::parse(ReadFile(GoldenPath(name)));
}

inline std::vector<float> ReadFloats(const std::string& path) {
  const std::string bytes = ReadFile(path);
  std::vector<float> values(bytes.size() / sizeof(float));
  std::memcpy(values.data(), bytes.data(), values.size() * sizeof(float));
  return values;
}

// One evaluation of one checkpoint.
struct GoldenCase {
  std::string name;
  std::string checkpoint;  // file names
  std::string tokens;
  std::string nll;
  std::string logp;                     // empty: no distributions stored
  std::vector<int64_t> logp_positions;  // after which tokens
  std::string overrides;                // Python dict literal
  std::map<std::string, std::string> settings;  // the same, for an import
  int64_t rows = 0;                             // of tokens
  std::vector<int64_t> blocks;                  // as the reference cut them
  std::vector<std::vector<int64_t>> same;  // block sizes that change nothing
  bool same_length = true;                 // false: the default mask
  double mean_bits = 0;                    // 0: not given
  double block_tolerance = 0;              // nats
  double step_tolerance = 0;               // nats
};

// "5,1,64" to {5, 1, 64}.
inline std::vector<int64_t> ParseBlocks(const std::string& text) {
  std::vector<int64_t> blocks;
  for (size_t begin = 0; begin < text.size();) {
    const size_t comma = std::min(text.find(',', begin), text.size());
    blocks.push_back(std::stoll(text.substr(begin, comma - begin)));
    begin = comma + 1;
  }
  return blocks;
}

inline std::string PythonLiteral(const nlohmann::json& dict) {
  std::string text = "{";
  for (const auto& [key, value] : dict.items()) {
    text += "'" + key + "': ";
    text += value.is_boolean() ? (value.get<bool>() ? "True" : "False")
                               : value.dump();
    text += ", ";
  }
  return text + "}";
}

// Whether the set at hand holds a file; the repository's copy is a choice.
inline bool IsThere(const std::string& name) {
  return std::filesystem::exists(GoldenPath(name));
}

// The checkpoints that `json` names, without those that are absent.
inline std::vector<std::string> ModelFiles(const nlohmann::json& json) {
  std::vector<std::string> files;
  if (json.contains("model_files")) {
    files = json["model_files"].get<std::vector<std::string>>();
  } else {
    files = {json["model_file"]};
  }
  std::vector<std::string> present;
  for (const std::string& file : files) {
    if (IsThere(file)) {
      present.push_back(file);
    } else {
      std::cout << "absent from this set, not tested: " << file << std::endl;
    }
  }
  return present;
}

inline std::vector<std::vector<int64_t>> KeysAsBlocks(
    const nlohmann::json& entry, const char* key) {
  std::vector<std::vector<int64_t>> blocks;
  if (!entry.contains(key)) return blocks;
  for (const auto& item : entry[key].items()) {
    blocks.push_back(ParseBlocks(item.key()));
  }
  return blocks;
}

// Adaptive Span: one evaluation for each container of `family`. Tolerances are
// the set's README's.
inline std::vector<GoldenCase> AdaptiveSpanCases(const std::string& family,
                                                 double block_tolerance,
                                                 double step_tolerance) {
  const nlohmann::json json = GoldenJson(family + ".json");
  const nlohmann::json& evaluation = json["evaluation"];
  std::vector<GoldenCase> cases;
  for (const std::string& checkpoint : ModelFiles(json)) {
    GoldenCase c;
    c.name = checkpoint;
    c.checkpoint = checkpoint;
    c.tokens = family + ".tokens.u16";
    c.nll = family + ".nll.f32";
    c.logp = family + ".logp.f32";
    c.logp_positions = evaluation["logp_positions"].get<std::vector<int64_t>>();
    c.rows = evaluation["rows"];
    c.blocks = {evaluation["block_size"].get<int64_t>()};
    c.same = KeysAsBlocks(evaluation, "block_size_differences_fp32");
    c.mean_bits = evaluation["mean_bits_per_token"];
    c.block_tolerance = block_tolerance;
    c.step_tolerance = step_tolerance;
    cases.push_back(c);
  }
  return cases;
}

// Transformer-XL of `family`, whose tokens are `tokens`: each evaluation of
// each of `checkpoints`.
inline std::vector<GoldenCase> TransformerXlCases(
    const std::string& family, const std::string& tokens,
    const std::vector<std::string>& checkpoints, double tolerance) {
  const nlohmann::json json = GoldenJson(family + ".json");
  const nlohmann::json& common =
      json.contains("evaluation") ? json["evaluation"] : json;
  std::vector<GoldenCase> cases;
  for (const std::string& checkpoint : checkpoints) {
    for (const nlohmann::json& evaluation : json["evaluations"]) {
      GoldenCase c;
      c.nll = evaluation.contains("nll_f32") ? evaluation["nll_f32"]
                                             : evaluation["file"];
      c.name = checkpoint + " " + c.nll;
      c.checkpoint = checkpoint;
      c.tokens = tokens;
      if (evaluation.contains("logp_f32")) {
        c.logp = evaluation["logp_f32"];
        c.logp_positions = common["logp_positions"].get<std::vector<int64_t>>();
      }
      const nlohmann::json changed = {
          {"mem_len", evaluation["mem_len"]},
          {"clamp_len", evaluation["clamp_len"]},
          {"same_length", evaluation["same_length"]}};
      c.overrides = PythonLiteral(changed);
      for (const auto& [key, value] : changed.items()) {
        c.settings[key] = value.dump();
      }
      c.rows = common["rows"];
      c.blocks = {evaluation["block_size"].get<int64_t>()};
      c.same_length = evaluation["same_length"];
      if (c.same_length) {
        c.same = KeysAsBlocks(evaluation, "max_abs_nll_other_block_sizes");
        for (const auto& blocks :
             KeysAsBlocks(evaluation, "max_abs_nll_other_block_sizes_fp32")) {
          c.same.push_back(blocks);
        }
      }
      c.mean_bits =
          evaluation.contains("mean_bits_per_token")
              ? evaluation["mean_bits_per_token"].get<double>()
              : evaluation.value("mean_bits_per_token_699_scored", 0.0);
      c.block_tolerance = c.step_tolerance = tolerance;
      cases.push_back(c);
    }
  }
  return cases;
}

}  // namespace spanlm
