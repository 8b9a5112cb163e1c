// SPDX-License-Identifier: Apache-2.0
#include "train/serving_check.h"

#include <memory>
#include <optional>
#include <string>

#include "absl/strings/string_view.h"
#include "base/bits_total.h"
#include "base/status_macros.h"
#include "engine/engine.h"
#include "engine/symbol_map.h"
#include "train/evaluate_stream.h"
#include "train/model_text.h"
#include "train/validate.h"

namespace spanlm {

double ServingCheck::difference() const {
  return scored > 0 ? (served_bits - train_bits) / static_cast<double>(scored)
                    : 0;
}

bool ServesAsItTrains(const ModelConfig& config) {
  return config->architecture == Architecture::kAdaptiveSpan ||
         config->same_length;
}

absl::StatusOr<ServingCheck> CheckServing(const ByteModel& model,
                                          const std::string& model_dir,
                                          const SymbolText& text,
                                          const ServingCheckOptions& options) {
  ServingCheck check;
  const std::optional<std::string> bytes =
      BytesOf(text, model.config().fields());
  if (!bytes.has_value()) return check;
  ValidateOptions validate;
  validate.rows = WholeBatch(RowLayout::kSlices, options.rows, options.block);
  const Validation trained = Validate(model, text, validate);
  check.scored = trained.scored;
  check.train_bits = trained.bits;
  if (trained.scored == 0) return check;

  EngineOptions engine_options;
  engine_options.threads = options.threads;
  SPANLM_ASSIGN_OR_RETURN(const std::unique_ptr<Engine> engine,
                          CreateEngine(model_dir, engine_options));
  SPANLM_ASSIGN_OR_RETURN(const SymbolMap map,
                          SymbolMap::Create(engine->config()));
  const size_t length = bytes->size() / static_cast<size_t>(options.rows);
  for (int64_t row = 0; row < options.rows; ++row) {
    SPANLM_ASSIGN_OR_RETURN(
        const StreamScore score,
        EvaluateStream(*engine, map,
                       absl::string_view(*bytes).substr(
                           static_cast<size_t>(row) * length, length),
                       engine_options.max_step_symbols,
                       [](const StreamScore&) {}));
    // A stream's first byte costs 8 bits; Validate leaves it out.
    check.served_bits += score.total.bits() - 8;
  }
  return check;
}

}  // namespace spanlm
