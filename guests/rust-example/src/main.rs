//! One function for each thing that a guest on the upstream Rust SDK does: values of each kind, the heap, a host
//! function, a log record, a panic, a stack that runs over.
#![no_std]
#![no_main]

extern crate alloc;

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;
use core::hint::black_box;

use hyperlight_common::flatbuffer_wrappers::function_call::FunctionCall;
use hyperlight_common::flatbuffer_wrappers::function_types::{
    ParameterType, ParameterValue, ReturnType,
};
use hyperlight_common::flatbuffer_wrappers::guest_error::ErrorCode;
use hyperlight_common::flatbuffer_wrappers::util::get_flatbuffer_result;
use hyperlight_guest::error::{HyperlightGuestError, Result};
use hyperlight_guest_bin::guest_function::definition::GuestFunctionDefinition;
use hyperlight_guest_bin::guest_function::register::register_function;
use hyperlight_guest_bin::host_comm::call_host_function;
use tracing::instrument;

/// The SDK checks a call's parameters against the registered ones before the function runs; what is left cannot
/// happen, and says so.
fn mismatch(call: &FunctionCall) -> HyperlightGuestError {
    HyperlightGuestError::new(
        ErrorCode::GuestFunctionParameterTypeMismatch,
        format!(
            "{} was called with other parameters than its own",
            call.function_name
        ),
    )
}

fn parameters(call: &FunctionCall) -> &[ParameterValue] {
    call.parameters.as_deref().unwrap_or_default()
}

fn echo(call: &FunctionCall) -> Result<Vec<u8>> {
    match parameters(call) {
        [ParameterValue::String(text)] => Ok(get_flatbuffer_result(text.as_str())),
        _ => Err(mismatch(call)),
    }
}

fn add(call: &FunctionCall) -> Result<Vec<u8>> {
    match parameters(call) {
        [ParameterValue::Int(a), ParameterValue::Int(b)] => {
            Ok(get_flatbuffer_result(a.wrapping_add(*b)))
        }
        _ => Err(mismatch(call)),
    }
}

fn hypotenuse(call: &FunctionCall) -> Result<Vec<u8>> {
    match parameters(call) {
        [ParameterValue::Double(a), ParameterValue::Double(b)] => {
            Ok(get_flatbuffer_result(root(a * a + b * b)))
        }
        _ => Err(mismatch(call)),
    }
}

/// By Newton: `core` has no square root.
fn root(square: f64) -> f64 {
    let mut guess = if square > 1.0 { square } else { 1.0 };
    for _ in 0..200 {
        guess = (guess + square / guess) / 2.0;
    }
    guess
}

fn half(call: &FunctionCall) -> Result<Vec<u8>> {
    match parameters(call) {
        [ParameterValue::Float(value)] => Ok(get_flatbuffer_result(value / 2.0)),
        _ => Err(mismatch(call)),
    }
}

fn reverse(call: &FunctionCall) -> Result<Vec<u8>> {
    match parameters(call) {
        [ParameterValue::VecBytes(bytes)] => {
            let mut bytes = bytes.clone();
            bytes.reverse();
            Ok(get_flatbuffer_result(bytes.as_slice()))
        }
        _ => Err(mismatch(call)),
    }
}

/// Sum of the numbers below `count`, each in a place of its own on the heap.
fn sum_on_heap(call: &FunctionCall) -> Result<Vec<u8>> {
    match parameters(call) {
        [ParameterValue::UInt(count)] => {
            let numbers: Vec<u64> = (0..u64::from(*count)).collect();
            Ok(get_flatbuffer_result(
                black_box(numbers).iter().sum::<u64>(),
            ))
        }
        _ => Err(mismatch(call)),
    }
}

/// Asks the host for the sum, and doubles it.
#[instrument(skip_all)]
fn double_on_host(call: &FunctionCall) -> Result<Vec<u8>> {
    match parameters(call) {
        [ParameterValue::Int(a), ParameterValue::Int(b)] => {
            let arguments = vec![ParameterValue::Int(*a), ParameterValue::Int(*b)];
            let sum = call_host_function::<i32>("HostAdd", Some(arguments), ReturnType::Int)?;
            Ok(get_flatbuffer_result(sum.wrapping_mul(2)))
        }
        _ => Err(mismatch(call)),
    }
}

fn write_log(call: &FunctionCall) -> Result<Vec<u8>> {
    match parameters(call) {
        [ParameterValue::String(text)] => {
            log::warn!("{text}");
            Ok(get_flatbuffer_result(()))
        }
        _ => Err(mismatch(call)),
    }
}

fn panic_with(call: &FunctionCall) -> Result<Vec<u8>> {
    match parameters(call) {
        [ParameterValue::String(text)] => panic!("{text}"),
        _ => Err(mismatch(call)),
    }
}

fn overflow(_call: &FunctionCall) -> Result<Vec<u8>> {
    Ok(get_flatbuffer_result(deeper(1)))
}

#[allow(unconditional_recursion)]
fn deeper(depth: u64) -> u64 {
    let frame = black_box([depth; 64]);
    deeper(depth + 1).wrapping_add(frame[0])
}

fn exhaust_heap(_call: &FunctionCall) -> Result<Vec<u8>> {
    let mut pieces: Vec<Vec<u8>> = Vec::new();
    loop {
        pieces.push(black_box(vec![1; 16 * 1024]));
    }
}

fn divide(call: &FunctionCall) -> Result<Vec<u8>> {
    match parameters(call) {
        [ParameterValue::Int(a), ParameterValue::Int(b)] => {
            let quotient: i64;
            // The language's own division panics at 0; this one lets the CPU fault.
            unsafe {
                core::arch::asm!("cqo", "idiv {divisor}", divisor = in(reg) i64::from(*b),
                    inout("rax") i64::from(*a) => quotient, out("rdx") _);
            }
            Ok(get_flatbuffer_result(quotient))
        }
        _ => Err(mismatch(call)),
    }
}

/// `depth` spans, each inside the one before it, and an event in the innermost.
fn nest(call: &FunctionCall) -> Result<Vec<u8>> {
    match parameters(call) {
        [ParameterValue::Int(depth)] => Ok(get_flatbuffer_result(step(*depth))),
        _ => Err(mismatch(call)),
    }
}

#[instrument]
fn step(depth: i32) -> i32 {
    if depth <= 1 {
        tracing::info!(answer = 42, "at the bottom");
        return 1;
    }
    step(depth - 1) + 1
}

fn register(
    name: &str,
    parameters: Vec<ParameterType>,
    returns: ReturnType,
    function: fn(&FunctionCall) -> Result<Vec<u8>>,
) {
    register_function(GuestFunctionDefinition::new(
        name.to_string(),
        parameters,
        returns,
        function as usize,
    ));
}

#[unsafe(no_mangle)]
pub extern "C" fn hyperlight_main() {
    use ParameterType as P;
    use ReturnType as R;
    register("Echo", vec![P::String], R::String, echo);
    register("Add", vec![P::Int, P::Int], R::Int, add);
    register(
        "Hypotenuse",
        vec![P::Double, P::Double],
        R::Double,
        hypotenuse,
    );
    register("Half", vec![P::Float], R::Float, half);
    register("Reverse", vec![P::VecBytes], R::VecBytes, reverse);
    register("SumOnHeap", vec![P::UInt], R::ULong, sum_on_heap);
    register("DoubleOnHost", vec![P::Int, P::Int], R::Int, double_on_host);
    register("Log", vec![P::String], R::Void, write_log);
    register("Panic", vec![P::String], R::Int, panic_with);
    register("Overflow", vec![], R::ULong, overflow);
    register("ExhaustHeap", vec![], R::Int, exhaust_heap);
    register("Divide", vec![P::Int, P::Int], R::Long, divide);
    register("Nest", vec![P::Int], R::Int, nest);
}

#[unsafe(no_mangle)]
pub fn guest_dispatch_function(call: FunctionCall) -> Result<Vec<u8>> {
    Err(HyperlightGuestError::new(
        ErrorCode::GuestFunctionNotFound,
        String::from(call.function_name),
    ))
}

/// The SDK seeds a C library that this guest leaves out.
#[unsafe(no_mangle)]
pub extern "C" fn srand(_seed: u32) {}
