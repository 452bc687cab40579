//! An eBPF machine that runs converted filters, and stops at whatever the verifier would not let pass.

use netobs::filter::Insn;

use super::Sight;

/// Where packet and stack are, far enough from each other and from any 32-bit number.
const PACKET: u64 = 1 << 40;
const STACK_TOP: u64 = 1 << 41;
const STACK: usize = 64;

/// The function's result.
pub fn run(program: &[Insn], sight: &Sight) -> u32 {
    let mut registers: [Option<u64>; 11] = [None; 11];
    // The upper halves of 32-bit arguments are anything.
    let garbage = 0xdead_beef << 32;
    registers[1] = Some(PACKET);
    registers[2] = Some(garbage | u64::from(sight.captured));
    registers[3] = Some(garbage | u64::from(sight.length));
    registers[10] = Some(STACK_TOP);
    let mut stack: [Option<u8>; STACK] = [None; STACK];
    let mut at = 0;
    loop {
        let insn = program[at];
        at += 1;
        let (to, from) = (usize::from(insn.registers & 15), usize::from(insn.registers >> 4));
        let get = |register: usize| registers[register].expect("register read before it is written");
        let operand = |wide: bool| match (insn.code & 8 != 0, wide) {
            (true, _) => get(from),
            (false, true) => i64::from(insn.immediate).cast_unsigned(),
            (false, false) => u64::from(insn.immediate.cast_unsigned()),
        };
        match insn.code & 7 {
            0x1 => {
                let address = get(from).wrapping_add_signed(insn.offset.into());
                let mut value = 0;
                for byte in (0..width(insn.code)).rev() {
                    value = value << 8 | u64::from(read(address + byte, sight, &stack));
                }
                registers[to] = Some(value);
            }
            0x3 => {
                let address = get(to).wrapping_add_signed(insn.offset.into());
                let value = get(from);
                for byte in 0..width(insn.code) {
                    stack[slot(address + byte)] = Some((value >> (8 * byte)) as u8);
                }
            }
            0x4 if insn.code == 0xdc => {
                let value = get(to);
                registers[to] = Some(match insn.immediate {
                    16 => u64::from((value as u16).swap_bytes()),
                    32 => u64::from((value as u32).swap_bytes()),
                    bits => panic!("swap of {bits} bits"),
                });
            }
            0x4 => {
                let old = if insn.code & 0xf0 == 0xb0 { 0 } else { get(to) as u32 };
                registers[to] = Some(arithmetic(insn.code & 0xf0, old, operand(false) as u32).into());
            }
            0x7 => {
                registers[to] = Some(match insn.code & 0xf0 {
                    0x00 => get(to).wrapping_add(operand(true)),
                    0xb0 => operand(true),
                    other => panic!("64-bit operation {other:#x}"),
                });
            }
            0x5 if insn.code == 0x95 => return get(0) as u32,
            class @ (0x5 | 0x6) => {
                let taken = insn.code & 0xf0 == 0
                    || match class {
                        0x5 => compare(insn.code & 0xf0, get(to), operand(true)),
                        _ => compare(insn.code & 0xf0, get(to) & 0xffff_ffff, operand(false) & 0xffff_ffff),
                    };
                if taken {
                    at = at.checked_add_signed(insn.offset.into()).expect("jump before the program");
                }
            }
            class => panic!("class {class}"),
        }
    }
}

fn width(code: u8) -> u64 {
    match code & 0x18 {
        0x00 => 4,
        0x08 => 2,
        0x10 => 1,
        _ => 8,
    }
}

fn read(address: u64, sight: &Sight, stack: &[Option<u8>; STACK]) -> u8 {
    match address.checked_sub(PACKET).and_then(|offset| sight.bytes.get(offset as usize)) {
        Some(&byte) => {
            assert!(address - PACKET < u64::from(sight.captured), "read behind the captured bytes");
            byte
        }
        None => stack[slot(address)].expect("stack read before it is written"),
    }
}

fn slot(address: u64) -> usize {
    let below = STACK_TOP.checked_sub(address).expect("below the top of the stack") as usize;
    STACK.checked_sub(below).expect("inside the stack")
}

fn arithmetic(op: u8, a: u32, b: u32) -> u32 {
    match op {
        0x00 => a.wrapping_add(b),
        0x10 => a.wrapping_sub(b),
        0x20 => a.wrapping_mul(b),
        0x30 => a.checked_div(b).expect("guarded division"),
        0x40 => a | b,
        0x50 => a & b,
        0x60 => a.checked_shl(b).expect("guarded shift"),
        0x70 => a.checked_shr(b).expect("guarded shift"),
        0x80 => a.wrapping_neg(),
        0x90 => a.checked_rem(b).expect("guarded division"),
        0xa0 => a ^ b,
        0xb0 => b,
        _ => panic!("operation {op:#x}"),
    }
}

fn compare(op: u8, a: u64, b: u64) -> bool {
    match op {
        0x10 => a == b,
        0x20 => a > b,
        0x30 => a >= b,
        0x40 => a & b != 0,
        0x50 => a != b,
        0xa0 => a < b,
        0xb0 => a <= b,
        _ => panic!("comparison {op:#x}"),
    }
}
