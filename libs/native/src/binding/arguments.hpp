#pragma once

#include <napi.h>

#include <cmath>
#include <cstdint>
#include <span>

#include "error.hpp"

namespace mayfly::binding {

// TypeScript has validated and explained; here stands only what could crash.

inline constexpr double kMaxSafeInteger = 9007199254740991.0;

[[noreturn]] inline void refuse(Napi::Env env, const char* text) { throw Napi::TypeError::New(env, text); }

inline uint64_t to_u64(const Napi::Value& value) {
  if (!value.IsNumber()) refuse(value.Env(), "expected a number");
  const double number = value.As<Napi::Number>().DoubleValue();
  if (!(number >= 0) || number > kMaxSafeInteger || std::floor(number) != number)
    refuse(value.Env(), "expected a whole number from 0 to 2^53 - 1");
  return static_cast<uint64_t>(number);
}

inline uint32_t to_u32(const Napi::Value& value) {
  const uint64_t number = to_u64(value);
  if (number > UINT32_MAX) refuse(value.Env(), "expected a number below 2^32");
  return static_cast<uint32_t>(number);
}

/** The bytes of a Uint8Array, valid until control returns to JavaScript. */
inline std::span<uint8_t> to_bytes(const Napi::Value& value) {
  napi_typedarray_type type{};
  std::size_t length = 0;
  void* data = nullptr;
  if (!value.IsTypedArray() || napi_get_typedarray_info(value.Env(), value, &type, &length, &data, nullptr,
                                                        nullptr) != napi_ok ||
      (type != napi_uint8_array && type != napi_uint8_clamped_array))
    refuse(value.Env(), "expected a Uint8Array");
  // SAFETY: Node-API gives the array's own data and length; no JavaScript runs while the span is used.
  return {static_cast<uint8_t*>(data), length};
}

inline std::span<const double> to_doubles(const Napi::Value& value) {
  napi_typedarray_type type{};
  std::size_t length = 0;
  void* data = nullptr;
  if (!value.IsTypedArray() || napi_get_typedarray_info(value.Env(), value, &type, &length, &data, nullptr,
                                                        nullptr) != napi_ok ||
      type != napi_float64_array)
    refuse(value.Env(), "expected a Float64Array");
  // SAFETY: as above; a Float64Array is aligned for doubles.
  return {static_cast<const double*>(data), length};
}

inline uint64_t to_u64(Napi::Env env, double number) {
  if (!(number >= 0) || number > kMaxSafeInteger || std::floor(number) != number)
    refuse(env, "expected a whole number from 0 to 2^53 - 1");
  return static_cast<uint64_t>(number);
}

/** A KvmError as the JavaScript error that `src/errors.ts` reads. */
inline Napi::Error to_js_error(Napi::Env env, const KvmError& error) {
  Napi::Error result = Napi::Error::New(env, error.what());
  result.Set("nativeCode", Napi::Number::New(env, static_cast<double>(error.code())));
  result.Set("errno", Napi::Number::New(env, error.error_number()));
  return result;
}

/** Runs `body`, with the core's exceptions turned into JavaScript's. */
template <typename Body>
decltype(auto) translated(Napi::Env env, Body&& body) {
  try {
    return body();
  } catch (const KvmError& error) {
    throw to_js_error(env, error);
  }
}

}  // namespace mayfly::binding
