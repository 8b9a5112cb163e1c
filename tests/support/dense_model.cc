// SPDX-License-Identifier: Apache-2.0
#include "tests/support/dense_model.h"

#include <algorithm>
#include <cmath>
#include <string>

#include "absl/strings/str_cat.h"
#include "base/check.h"

namespace spanlm {
namespace {

using Row = std::vector<double>;
using Rows = std::vector<Row>;

class Dense {
 public:
  Dense(const ModelConfig& config, const TensorSource& tensors)
      : config_(config), tensors_(tensors) {}

  Rows Run(absl::Span<const uint16_t> symbols) {
    Rows x;
    const Row embedding =
        Load(adaptive() ? "in_emb.weight" : "word_emb.emb_layers.0.weight");
    const size_t d = config_->d_model;
    for (const uint16_t symbol : symbols) {
      Row row(embedding.begin() + symbol * d,
              embedding.begin() + (symbol + 1) * d);
      if (!adaptive()) {
        for (double& v : row) v *= std::sqrt(static_cast<double>(d));
      }
      x.push_back(row);
    }
    for (int i = 0; i < config_->n_layer; ++i) x = Layer(i, x);
    return Logits(x, embedding);
  }

 private:
  bool adaptive() const {
    return config_->architecture == Architecture::kAdaptiveSpan;
  }
  bool Has(const std::string& name) const { return tensors_.Find(name).ok(); }
  Row Load(const std::string& name) const {
    const absl::StatusOr<TensorView> view = tensors_.Find(name);
    SPANLM_CHECK(view.ok());
    const std::vector<float> floats = *ToFloats(*view);
    return Row(floats.begin(), floats.end());
  }

  // Rows [first, first + count) of a weight applied to x.
  static Row Product(const Row& weight, size_t first, size_t count,
                     const Row& x) {
    Row y(count, 0.0);
    for (size_t o = 0; o < count; ++o) {
      for (size_t k = 0; k < x.size(); ++k) {
        y[o] += weight[(first + o) * x.size() + k] * x[k];
      }
    }
    return y;
  }
  Row Linear(const std::string& name, const Row& x) const {
    Row y = Load(name + ".bias");
    const Row product = Product(Load(name + ".weight"), 0, y.size(), x);
    for (size_t o = 0; o < y.size(); ++o) y[o] += product[o];
    return y;
  }
  Row Norm(const std::string& name, Row x, const Row& added) const {
    const Row weight = Load(name + ".weight");
    const Row bias = Load(name + ".bias");
    double mean = 0;
    double variance = 0;
    for (size_t i = 0; i < x.size(); ++i) mean += (x[i] += added[i]) / x.size();
    for (const double v : x) variance += (v - mean) * (v - mean) / x.size();
    for (size_t i = 0; i < x.size(); ++i) {
      x[i] = (x[i] - mean) / std::sqrt(variance + 1e-5) * weight[i] + bias[i];
    }
    return x;
  }

  // One layer's attention parameters.
  struct Attention {
    std::vector<double> z;  // [heads]
    Row mask_template;
    int64_t window = 0;
    Row u, v;
    Rows distance_keys;  // [distance][d_model]
  };

  Attention AdaptiveAttention(const std::string& prefix) const {
    const int64_t size = config_->attn_span;
    const std::string mask = prefix + "attn.attn.adaptive_span._mask.";
    Attention attention;
    attention.z = Load(mask + "current_val");
    attention.z.resize(config_->n_head, attention.z[0]);
    double longest = 0;
    for (double& z : attention.z) {
      z = std::clamp(z, 0.0, 1.0);
      longest = std::max(longest, z);
    }
    const auto max_size = std::clamp<int64_t>(
        static_cast<int64_t>(std::ceil(longest * size)) + config_->ramp, 0,
        size);
    attention.window =
        size - config_->block_rounding * (std::min(size - 1, size - max_size) /
                                          config_->block_rounding);
    if (Has(mask + "mask_template")) {
      attention.mask_template = Load(mask + "mask_template");
    } else {
      for (int64_t c = 0; c < size; ++c) {
        attention.mask_template.push_back(c + 1 - size);
      }
    }
    const Row key_pe = Load("key_pe");
    for (int64_t d = 0; d <= attention.window; ++d) {
      Row key;
      for (int i = 0; i < config_->d_model; ++i) {
        key.push_back(d == 0 ? 0
                             : key_pe[(i % config_->d_head) * size + size - d]);
      }
      attention.distance_keys.push_back(key);
    }
    return attention;
  }

  Attention XlAttention(const std::string& prefix) const {
    Attention attention;
    attention.window = config_->mem_len - 1;
    const std::string biases = config_->tie_biases ? "" : prefix + "dec_attn.";
    attention.u = Load(biases + "r_w_bias");
    attention.v = Load(biases + "r_r_bias");
    const int d = config_->d_model;
    Row frequencies;
    if (Has("pos_emb.inv_freq")) {
      frequencies = Load("pos_emb.inv_freq");
    } else {
      for (int i = 0; i < d / 2; ++i) {
        frequencies.push_back(std::pow(10000.0, -2.0 * i / d));
      }
    }
    const Row weight = Load(prefix + "dec_attn.r_net.weight");
    for (int64_t distance = 0; distance <= attention.window; ++distance) {
      const int64_t told = config_->clamp_len > 0
                               ? std::min<int64_t>(distance, config_->clamp_len)
                               : distance;
      Row r;
      for (const double f : frequencies) r.push_back(std::sin(told * f));
      for (const double f : frequencies) r.push_back(std::cos(told * f));
      attention.distance_keys.push_back(Product(weight, 0, d, r));
    }
    return attention;
  }

  double Mask(const Attention& attention, int head, int64_t distance) const {
    if (!adaptive()) return 1;
    const double shift =
        attention.mask_template[config_->attn_span - distance] +
        attention.z[head] * config_->attn_span;
    return std::clamp(shift / config_->ramp + 1, 0.0, 1.0);
  }

  // o of one head at position t, added to out.
  void Attend(const Attention& attention, int head, int64_t t, const Rows& q,
              const Rows& k, const Rows& v, Row* out) const {
    const int e = config_->d_head;
    const bool empty = config_->memory_start == MemoryStart::kEmpty;
    const bool renormalize = !adaptive() || config_->renormalize;
    std::vector<double> scores;
    const int64_t nearest = adaptive() ? 1 : 0;
    for (int64_t d = nearest; d <= attention.window; ++d) {
      if (empty && d > t) break;
      double score = 0;
      for (int i = head * e; i < (head + 1) * e; ++i) {
        const double u = attention.u.empty() ? 0 : attention.u[i];
        const double r = attention.v.empty() ? 0 : attention.v[i];
        if (t - d >= 0) score += (q[t][i] + u) * k[t - d][i];
        score += (q[t][i] + r) * attention.distance_keys[d][i];
      }
      scores.push_back(score / std::sqrt(static_cast<double>(e)));
    }
    const double max = *std::max_element(scores.begin(), scores.end());
    double denominator = 0;
    Row sum(e, 0.0);
    for (size_t n = 0; n < scores.size(); ++n) {
      const auto d = static_cast<int64_t>(n) + nearest;
      const double exponential = std::exp(scores[n] - max);
      const double weight = exponential * Mask(attention, head, d);
      denominator += renormalize ? weight : exponential;
      for (int i = 0; i < e && t - d >= 0; ++i) {
        sum[i] += weight * v[t - d][head * e + i];
      }
    }
    for (int i = 0; i < e; ++i) (*out)[head * e + i] = sum[i] / denominator;
  }

  Rows Layer(int index, const Rows& x) const {
    const std::string prefix = absl::StrCat("layers.", index, ".");
    const size_t d = config_->d_model;
    const Attention attention =
        adaptive() ? AdaptiveAttention(prefix) : XlAttention(prefix);
    Rows projections[3];
    const char* names[3] = {"query", "key", "val"};
    for (int p = 0; p < 3; ++p) {
      const Row weight = Load(
          adaptive() ? absl::StrCat(prefix, "attn.proj_", names[p], ".weight")
                     : prefix + "dec_attn.qkv_net.weight");
      for (const Row& row : x) {
        projections[p].push_back(
            Product(weight, adaptive() ? 0 : p * d, d, row));
      }
    }
    const Row out_weight =
        Load(prefix +
             (adaptive() ? "attn.proj_out.weight" : "dec_attn.o_net.weight"));
    const std::string norm1 = adaptive() ? "norm1" : "dec_attn.layer_norm";
    const std::string norm2 = adaptive() ? "norm2" : "pos_ff.layer_norm";
    const std::string inner = adaptive() ? "ff.fc1" : "pos_ff.CoreNet.0";
    const std::string outer = adaptive() ? "ff.fc2" : "pos_ff.CoreNet.3";
    Rows result;
    for (size_t t = 0; t < x.size(); ++t) {
      Row o(d);
      for (int h = 0; h < config_->n_head; ++h) {
        Attend(attention, h, static_cast<int64_t>(t), projections[0],
               projections[1], projections[2], &o);
      }
      const Row y = Norm(prefix + norm1, x[t], Product(out_weight, 0, d, o));
      Row hidden = Linear(prefix + inner, y);
      for (double& value : hidden) value = std::max(value, 0.0);
      result.push_back(Norm(prefix + norm2, y, Linear(prefix + outer, hidden)));
    }
    return result;
  }

  Rows Logits(const Rows& x, const Row& embedding) const {
    const std::string output = adaptive() ? "out_emb" : "crit.out_layers.0";
    const Row weight =
        Has(output + ".weight") ? Load(output + ".weight") : embedding;
    const Row bias = Load(output + ".bias");
    Rows log_probs;
    for (const Row& row : x) {
      Row y = Product(weight, 0, bias.size(), row);
      double sum = 0;
      for (size_t i = 0; i < y.size(); ++i) y[i] += bias[i];
      const double max = *std::max_element(y.begin(), y.end());
      for (const double logit : y) sum += std::exp(logit - max);
      for (double& logit : y) logit -= max + std::log(sum);
      log_probs.push_back(y);
    }
    return log_probs;
  }

  const ModelConfig& config_;
  const TensorSource& tensors_;
};

}  // namespace

std::vector<std::vector<double>> DenseLogProbs(
    const ModelConfig& config, const TensorSource& tensors,
    absl::Span<const uint16_t> symbols) {
  return Dense(config, tensors).Run(symbols);
}

}  // namespace spanlm
