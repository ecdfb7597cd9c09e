#include "textflag.h"

// Constants, four times each: one 32-byte vector.
#define FOUR(name, bits) \
	DATA name<>+0(SB)/8, $bits; \
	DATA name<>+8(SB)/8, $bits; \
	DATA name<>+16(SB)/8, $bits; \
	DATA name<>+24(SB)/8, $bits; \
	GLOBL name<>(SB), RODATA|NOPTR, $32

FOUR(absMask, 0x7FFFFFFFFFFFFFFF)
FOUR(limit, 0x4085E00000000000)  // 700
FOUR(log2e, 0x3FF71547652B82FE)  // 1/ln 2
FOUR(magic, 0x4338000000000000)  // 3·2⁵¹: adding it rounds to an integer
FOUR(ln2hi, 0x3FE62E42FEE00000)
FOUR(ln2lo, 0x3DEA39EF35793C76)
FOUR(p1, 0x3FC5555555555555)
FOUR(p2, 0xBF66C16C16BEBD93)
FOUR(p3, 0x3F11566AAF25DE2C)
FOUR(p4, 0xBEBBBD41C5D26BF1)
FOUR(p5, 0x3E66376972BEA4D0)
FOUR(one, 0x3FF0000000000000)
FOUR(two, 0x4000000000000000)
FOUR(l1, 0x3FE5555555555593)
FOUR(l2, 0x3FD999999997FA04)
FOUR(l3, 0x3FD2492494229359)
FOUR(l4, 0x3FCC71C51D8E78AF)
FOUR(l5, 0x3FC7466496CB03DE)
FOUR(l6, 0x3FC39A09D078C69F)
FOUR(l7, 0x3FC2F112DF3E4431)
FOUR(root, 0x3FE6A09E667F3BCD)     // the bits of √½
FOUR(oneLessRoot, 0x95F619980C433)
FOUR(mantissa, 0x000FFFFFFFFFFFFF)
FOUR(half, 0x3FE0000000000000)

// func expAVX2(dst, src *float64, top float64, lanes *[4]float64, n int) (done int)
// The steps are those of Exp and expReduced in num.go, four at a time.
TEXT ·expAVX2(SB), NOSPLIT, $0-48
	MOVQ dst+0(FP), DI
	MOVQ src+8(FP), SI
	VBROADCASTSD top+16(FP), Y10
	MOVQ lanes+24(FP), DX
	VMOVUPD (DX), Y11
	MOVQ n+32(FP), CX
	XORQ AX, AX
	VMOVUPD log2e<>(SB), Y6
	VMOVUPD magic<>(SB), Y7
	VMOVUPD ln2hi<>(SB), Y8
	VMOVUPD ln2lo<>(SB), Y9
	VMOVUPD p3<>(SB), Y12
	VMOVUPD p4<>(SB), Y13
	VMOVUPD p5<>(SB), Y14
	VMOVUPD one<>(SB), Y15
exploop:
	CMPQ AX, CX
	JGE  expdone
	VMOVUPD (SI)(AX*8), Y0
	VSUBPD Y10, Y0, Y0               // x
	VANDPD  absMask<>(SB), Y0, Y1
	VCMPPD  $2, limit<>(SB), Y1, Y1  // |x| ≤ 700, false for NaN
	VMOVMSKPD Y1, BX
	CMPL BX, $15
	JNE  expdone
	VMULPD Y6, Y0, Y1                // x/ln 2
	VADDPD Y7, Y1, Y1
	VPSLLQ $52, Y1, Y2               // its integer part, moved to the exponent
	VPADDQ Y15, Y2, Y2               // 2^k
	VSUBPD Y7, Y1, Y1                // k
	VMULPD Y8, Y1, Y3
	VSUBPD Y3, Y0, Y0                // hi = x − k ln2hi
	VMULPD Y9, Y1, Y1                // lo = k ln2lo
	VSUBPD Y1, Y0, Y3                // r = hi − lo
	VMULPD Y3, Y3, Y4                // t = r²
	VMULPD Y14, Y4, Y5
	VADDPD Y13, Y5, Y5
	VMULPD Y4, Y5, Y5
	VADDPD Y12, Y5, Y5
	VMULPD Y4, Y5, Y5
	VADDPD p2<>(SB), Y5, Y5
	VMULPD Y4, Y5, Y5
	VADDPD p1<>(SB), Y5, Y5          // p1 + t(p2 + t(p3 + t(p4 + t p5)))
	VMULPD Y4, Y5, Y5
	VSUBPD Y5, Y3, Y5                // c = r − t p
	VMULPD Y5, Y3, Y4                // r c
	VMOVUPD two<>(SB), Y3
	VSUBPD Y5, Y3, Y3                // 2 − c
	VDIVPD Y3, Y4, Y4
	VSUBPD Y4, Y1, Y1                // lo − r c/(2 − c)
	VSUBPD Y0, Y1, Y1                // … − hi
	VSUBPD Y1, Y15, Y1               // 1 − …
	VMULPD Y2, Y1, Y1
	VMOVUPD Y1, (DI)(AX*8)
	VADDPD Y1, Y11, Y11
	ADDQ $4, AX
	JMP  exploop
expdone:
	VMOVUPD Y11, (DX)
	VZEROUPPER
	MOVQ AX, done+40(FP)
	RET

// func axpyAVX2(dst *float64, a float64, x *float64, n int)
TEXT ·axpyAVX2(SB), NOSPLIT, $0-32
	MOVQ dst+0(FP), DI
	VBROADCASTSD a+8(FP), Y0
	MOVQ x+16(FP), SI
	MOVQ n+24(FP), CX
	XORQ AX, AX
axpyloop:
	VMULPD (SI)(AX*8), Y0, Y1
	VADDPD (DI)(AX*8), Y1, Y1
	VMOVUPD Y1, (DI)(AX*8)
	ADDQ $4, AX
	CMPQ AX, CX
	JL   axpyloop
	VZEROUPPER
	RET

// func dotAVX2(a, b *float64, n int) float64
TEXT ·dotAVX2(SB), NOSPLIT, $0-32
	MOVQ a+0(FP), DI
	MOVQ b+8(FP), SI
	MOVQ n+16(FP), CX
	XORQ AX, AX
	VXORPD Y0, Y0, Y0
dotloop:
	VMOVUPD (DI)(AX*8), Y1
	VMULPD (SI)(AX*8), Y1, Y1
	VADDPD Y1, Y0, Y0
	ADDQ $4, AX
	CMPQ AX, CX
	JL   dotloop
	VEXTRACTF128 $1, Y0, X1          // s2, s3
	VHADDPD X0, X0, X0               // s0 + s1
	VHADDPD X1, X1, X1               // s2 + s3
	VADDSD X1, X0, X0
	VZEROUPPER
	MOVSD X0, ret+24(FP)
	RET

// func countAtMostAVX2(x *float64, u float64, n int) int
TEXT ·countAtMostAVX2(SB), NOSPLIT, $0-32
	MOVQ x+0(FP), SI
	VBROADCASTSD u+8(FP), Y0
	MOVQ n+16(FP), CX
	XORQ AX, AX
	VPXOR Y2, Y2, Y2
countloop:
	VMOVUPD (SI)(AX*8), Y1
	VCMPPD $2, Y0, Y1, Y1            // −1 where x <= u
	VPSUBQ Y1, Y2, Y2
	ADDQ $4, AX
	CMPQ AX, CX
	JL   countloop
	VEXTRACTI128 $1, Y2, X1
	VPADDQ X1, X2, X2
	VPSHUFD $0x4E, X2, X1
	VPADDQ X1, X2, X2
	VZEROUPPER
	MOVQ X2, ret+24(FP)
	RET

// func maxSumAVX2(z *float64, lanes *[4]float64, n int) float64
// The maximum of z; the lanes are those of its sum.
TEXT ·maxSumAVX2(SB), NOSPLIT, $0-32
	MOVQ z+0(FP), SI
	MOVQ lanes+8(FP), DX
	MOVQ n+16(FP), CX
	VMOVUPD (SI), Y0
	VXORPD Y2, Y2, Y2
	XORQ AX, AX
maxsumloop:
	VMOVUPD (SI)(AX*8), Y1
	VMAXPD Y1, Y0, Y0
	VADDPD Y1, Y2, Y2
	ADDQ $4, AX
	CMPQ AX, CX
	JL   maxsumloop
	VMOVUPD Y2, (DX)
	VEXTRACTF128 $1, Y0, X1
	VMAXPD X1, X0, X0
	VPERMILPD $1, X0, X1
	VMAXSD X1, X0, X0
	VZEROUPPER
	MOVSD X0, ret+24(FP)
	RET

// func shiftRowsAVX2(dst, z *float64, width, rows int)
TEXT ·shiftRowsAVX2(SB), NOSPLIT, $0-32
	MOVQ dst+0(FP), DI
	MOVQ z+8(FP), SI
	MOVQ width+16(FP), CX
	MOVQ rows+24(FP), DX
	MOVQ CX, R8
	ANDQ $~3, R8                     // whole blocks of a row
	VXORPD Y2, Y2, Y2
shiftrow:
	VMOVUPD (SI), Y0
	MOVQ $4, AX
shiftmax:
	CMPQ AX, R8
	JGE  shifttop
	VMAXPD (SI)(AX*8), Y0, Y0
	ADDQ $4, AX
	JMP  shiftmax
shifttop:
	VEXTRACTF128 $1, Y0, X1
	VMAXPD X1, X0, X0
	VPERMILPD $1, X0, X1
	VMAXSD X1, X0, X0
shiftmaxrest:
	CMPQ AX, CX
	JGE  shiftsub
	VMAXSD (SI)(AX*8), X0, X0
	INCQ AX
	JMP  shiftmaxrest
shiftsub:
	VADDSD X2, X0, X0                // −0 is +0
	VBROADCASTSD X0, Y0
	XORQ AX, AX
shiftloop:
	VMOVUPD (SI)(AX*8), Y1
	VSUBPD Y0, Y1, Y1
	VMOVUPD Y1, (DI)(AX*8)
	ADDQ $4, AX
	CMPQ AX, R8
	JL   shiftloop
shiftrest:
	CMPQ AX, CX
	JGE  shiftnext
	VMOVSD (SI)(AX*8), X1
	VSUBSD X0, X1, X1
	VMOVSD X1, (DI)(AX*8)
	INCQ AX
	JMP  shiftrest
shiftnext:
	LEAQ (SI)(CX*8), SI
	LEAQ (DI)(CX*8), DI
	DECQ DX
	JNZ  shiftrow
	VZEROUPPER
	RET

// func sumRowsAVX2(dst, p *float64, width, rows int)
TEXT ·sumRowsAVX2(SB), NOSPLIT, $0-32
	MOVQ dst+0(FP), DI
	MOVQ p+8(FP), SI
	MOVQ width+16(FP), CX
	MOVQ rows+24(FP), DX
	MOVQ CX, R8
	ANDQ $~3, R8
sumrow:
	VXORPD Y0, Y0, Y0
	XORQ AX, AX
sumloop:
	VADDPD (SI)(AX*8), Y0, Y0
	ADDQ $4, AX
	CMPQ AX, R8
	JL   sumloop
	VEXTRACTF128 $1, Y0, X1          // s2, s3
	VHADDPD X0, X0, X0               // s0 + s1
	VHADDPD X1, X1, X1               // s2 + s3
	VADDSD X1, X0, X0
sumrest:
	CMPQ AX, CX
	JGE  sumnext
	VADDSD (SI)(AX*8), X0, X0
	INCQ AX
	JMP  sumrest
sumnext:
	VMOVSD X0, (DI)
	ADDQ $8, DI
	LEAQ (SI)(CX*8), SI
	DECQ DX
	JNZ  sumrow
	VZEROUPPER
	RET

// func scaleShiftRowsAVX2(p, logp, scale, shift *float64, width, rows int)
TEXT ·scaleShiftRowsAVX2(SB), NOSPLIT, $0-48
	MOVQ p+0(FP), DI
	MOVQ logp+8(FP), SI
	MOVQ scale+16(FP), R9
	MOVQ shift+24(FP), R10
	MOVQ width+32(FP), CX
	MOVQ rows+40(FP), DX
	MOVQ CX, R8
	ANDQ $~3, R8
scalerow:
	VBROADCASTSD (R9), Y0
	VBROADCASTSD (R10), Y1
	XORQ AX, AX
scaleloop:
	VMULPD (DI)(AX*8), Y0, Y2
	VMOVUPD Y2, (DI)(AX*8)
	VMOVUPD (SI)(AX*8), Y3
	VSUBPD Y1, Y3, Y3
	VMOVUPD Y3, (SI)(AX*8)
	ADDQ $4, AX
	CMPQ AX, R8
	JL   scaleloop
scalerest:
	CMPQ AX, CX
	JGE  scalenext
	VMULSD (DI)(AX*8), X0, X2
	VMOVSD X2, (DI)(AX*8)
	VMOVSD (SI)(AX*8), X3
	VSUBSD X1, X3, X3
	VMOVSD X3, (SI)(AX*8)
	INCQ AX
	JMP  scalerest
scalenext:
	ADDQ $8, R9
	ADDQ $8, R10
	LEAQ (DI)(CX*8), DI
	LEAQ (SI)(CX*8), SI
	DECQ DX
	JNZ  scalerow
	VZEROUPPER
	RET

// func affineAVX2(x *float64, from, by, scale float64, n int)
TEXT ·affineAVX2(SB), NOSPLIT, $0-40
	MOVQ x+0(FP), DI
	VBROADCASTSD from+8(FP), Y0
	VBROADCASTSD by+16(FP), Y1
	VBROADCASTSD scale+24(FP), Y2
	MOVQ n+32(FP), CX
	XORQ AX, AX
affineloop:
	VMULPD (DI)(AX*8), Y2, Y3
	VMULPD Y3, Y1, Y3
	VSUBPD Y3, Y0, Y3
	VMOVUPD Y3, (DI)(AX*8)
	ADDQ $4, AX
	CMPQ AX, CX
	JL   affineloop
	VZEROUPPER
	RET

// func adamAVX2(param, m, v, grad *float64, c *adamConstants, n int)
TEXT ·adamAVX2(SB), NOSPLIT, $0-48
	MOVQ param+0(FP), DI
	MOVQ m+8(FP), R8
	MOVQ v+16(FP), R9
	MOVQ grad+24(FP), SI
	MOVQ c+32(FP), BX
	MOVQ n+40(FP), CX
	VBROADCASTSD 0(BX), Y8           // β₁
	VBROADCASTSD 8(BX), Y9           // 1−β₁
	VBROADCASTSD 16(BX), Y10         // β₂
	VBROADCASTSD 24(BX), Y11         // 1−β₂
	VBROADCASTSD 32(BX), Y12         // 1 − LR·WeightDecay
	VBROADCASTSD 40(BX), Y13         // LR/Bias1
	VBROADCASTSD 48(BX), Y14         // 1/√Bias2
	VBROADCASTSD 56(BX), Y15         // ε
	XORQ AX, AX
adamloop:
	VMOVUPD (SI)(AX*8), Y0           // g
	VMULPD (R8)(AX*8), Y8, Y1
	VMULPD Y0, Y9, Y2
	VADDPD Y2, Y1, Y1                // m
	VMOVUPD Y1, (R8)(AX*8)
	VMULPD Y0, Y11, Y2
	VMULPD Y0, Y2, Y2                // ((1−β₂) g) g
	VMULPD (R9)(AX*8), Y10, Y3
	VADDPD Y2, Y3, Y3                // v
	VMOVUPD Y3, (R9)(AX*8)
	VSQRTPD Y3, Y3
	VMULPD Y14, Y3, Y3
	VADDPD Y15, Y3, Y3               // √v/√Bias2 + ε
	VMULPD Y13, Y1, Y1
	VDIVPD Y3, Y1, Y1                // step · m / …
	VMULPD (DI)(AX*8), Y12, Y2
	VSUBPD Y1, Y2, Y2
	VMOVUPD Y2, (DI)(AX*8)
	ADDQ $4, AX
	CMPQ AX, CX
	JL   adamloop
	VZEROUPPER
	RET

// func logSigmoidAVX2(value, slope, x *float64, n int)
// The steps are those of logSigmoidSlope, Log1p and Log in num.go, four at a time;
// slope holds e = e^−|x|, and 1 ≤ 1 + e ≤ 2 makes the exponent k 0 or 1.
TEXT ·logSigmoidAVX2(SB), NOSPLIT, $0-32
	MOVQ value+0(FP), DI
	MOVQ slope+8(FP), SI
	MOVQ x+16(FP), DX
	MOVQ n+24(FP), CX
	XORQ AX, AX
	VMOVUPD one<>(SB), Y15
	VXORPD Y14, Y14, Y14
	VMOVUPD half<>(SB), Y13
	VMOVUPD l7<>(SB), Y12
	VMOVUPD l6<>(SB), Y11
	VMOVUPD l5<>(SB), Y10
	VMOVUPD l4<>(SB), Y9
lsloop:
	VMOVUPD (SI)(AX*8), Y0           // e
	VADDPD Y0, Y15, Y1               // u = 1 + e
	VPADDQ oneLessRoot<>(SB), Y1, Y3
	VPSRLQ $62, Y3, Y4
	VPSUBQ Y4, Y14, Y4               // all ones where k = 1
	VPAND mantissa<>(SB), Y3, Y3
	VPADDQ root<>(SB), Y3, Y3        // m
	VSUBPD Y15, Y3, Y3               // f = m − 1
	VADDPD two<>(SB), Y3, Y5
	VDIVPD Y5, Y3, Y5                // s = f/(2 + f)
	VMULPD Y5, Y5, Y6                // s²
	VMULPD Y6, Y6, Y7                // s⁴
	VMULPD Y12, Y7, Y2
	VADDPD Y10, Y2, Y2
	VMULPD Y7, Y2, Y2
	VADDPD l3<>(SB), Y2, Y2
	VMULPD Y7, Y2, Y2
	VADDPD l1<>(SB), Y2, Y2
	VMULPD Y6, Y2, Y2                // t₁
	VMULPD Y11, Y7, Y8
	VADDPD Y9, Y8, Y8
	VMULPD Y7, Y8, Y8
	VADDPD l2<>(SB), Y8, Y8
	VMULPD Y7, Y8, Y8                // t₂
	VADDPD Y8, Y2, Y2
	VMULPD Y13, Y3, Y6
	VMULPD Y3, Y6, Y6                // f²/2
	VADDPD Y6, Y2, Y2
	VMULPD Y5, Y2, Y2                // s (f²/2 + (t₁ + t₂))
	VANDPD ln2lo<>(SB), Y4, Y7       // k ln2lo
	VADDPD Y7, Y2, Y2
	VSUBPD Y2, Y6, Y6
	VSUBPD Y3, Y6, Y6
	VANDPD ln2hi<>(SB), Y4, Y7       // k ln2hi
	VSUBPD Y6, Y7, Y6                // log u
	VSUBPD Y15, Y1, Y2               // u − 1
	VCMPPD $0, Y14, Y2, Y3           // = 0
	VDIVPD Y2, Y0, Y2
	VMULPD Y2, Y6, Y6                // log u · e/(u − 1)
	VBLENDVPD Y3, Y0, Y6, Y6         // e where u = 1
	VMOVUPD (DX)(AX*8), Y2           // x
	VMINPD Y14, Y2, Y3
	VSUBPD Y6, Y3, Y3                // min(x, 0) − log(1 + e)
	VMOVUPD Y3, (DI)(AX*8)
	VCMPPD $14, Y14, Y2, Y3          // x > 0
	VBLENDVPD Y3, Y0, Y15, Y3        // e there, 1 elsewhere
	VDIVPD Y1, Y3, Y3
	VMOVUPD Y3, (SI)(AX*8)
	ADDQ $4, AX
	CMPQ AX, CX
	JL   lsloop
	VZEROUPPER
	RET

// func expAVX512(dst, src *float64, top float64, lanes *[4]float64, n int) (done int)
// expAVX2 on eight at a time; the lanes take the lower four, then the upper.
TEXT ·expAVX512(SB), NOSPLIT, $0-48
	MOVQ dst+0(FP), DI
	MOVQ src+8(FP), SI
	VBROADCASTSD top+16(FP), Z19
	MOVQ lanes+24(FP), DX
	VMOVUPD (DX), Y15
	MOVQ n+32(FP), CX
	XORQ AX, AX
	VBROADCASTSD log2e<>(SB), Z6
	VBROADCASTSD magic<>(SB), Z7
	VBROADCASTSD ln2hi<>(SB), Z8
	VBROADCASTSD ln2lo<>(SB), Z9
	VBROADCASTSD p1<>(SB), Z10
	VBROADCASTSD p2<>(SB), Z11
	VBROADCASTSD p3<>(SB), Z12
	VBROADCASTSD p4<>(SB), Z13
	VBROADCASTSD p5<>(SB), Z14
	VBROADCASTSD one<>(SB), Z20
	VBROADCASTSD absMask<>(SB), Z16
	VBROADCASTSD limit<>(SB), Z17
	VBROADCASTSD two<>(SB), Z18
expwide:
	CMPQ AX, CX
	JGE  expwidedone
	VMOVUPD (SI)(AX*8), Z0
	VSUBPD Z19, Z0, Z0               // x
	VANDPD  Z16, Z0, Z1
	VCMPPD  $2, Z17, Z1, K1          // |x| ≤ 700, false for NaN
	KMOVB K1, BX
	CMPL BX, $255
	JNE  expwidedone
	VMULPD Z6, Z0, Z1                // x/ln 2
	VADDPD Z7, Z1, Z1
	VPSLLQ $52, Z1, Z2               // its integer part, moved to the exponent
	VPADDQ Z20, Z2, Z2               // 2^k
	VSUBPD Z7, Z1, Z1                // k
	VMULPD Z8, Z1, Z3
	VSUBPD Z3, Z0, Z0                // hi
	VMULPD Z9, Z1, Z1                // lo
	VSUBPD Z1, Z0, Z3                // r
	VMULPD Z3, Z3, Z4                // t
	VMULPD Z14, Z4, Z5
	VADDPD Z13, Z5, Z5
	VMULPD Z4, Z5, Z5
	VADDPD Z12, Z5, Z5
	VMULPD Z4, Z5, Z5
	VADDPD Z11, Z5, Z5
	VMULPD Z4, Z5, Z5
	VADDPD Z10, Z5, Z5
	VMULPD Z4, Z5, Z5
	VSUBPD Z5, Z3, Z5                // c
	VMULPD Z5, Z3, Z4                // r c
	VSUBPD Z5, Z18, Z3               // 2 − c
	VDIVPD Z3, Z4, Z4
	VSUBPD Z4, Z1, Z1
	VSUBPD Z0, Z1, Z1
	VSUBPD Z1, Z20, Z1
	VMULPD Z2, Z1, Z1
	VMOVUPD Z1, (DI)(AX*8)
	VEXTRACTF64X4 $1, Z1, Y2
	VADDPD Y1, Y15, Y15
	VADDPD Y2, Y15, Y15
	ADDQ $8, AX
	JMP  expwide
expwidedone:
	VMOVUPD Y15, (DX)
	VZEROUPPER
	MOVQ AX, done+40(FP)
	RET
