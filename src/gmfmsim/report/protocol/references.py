"""What a sample-size section cites for its method."""

METHODS = {
    "Armitage 1969": "Armitage P, McPherson CK, Rowe BC. Repeated significance tests on accumulating data. J R Stat "
    "Soc A 1969;132:235-244.",
    "Bretz 2005": "Bretz F, Pinheiro JC, Branson M. Combining multiple comparisons and modeling techniques in "
    "dose-response studies. Biometrics 2005;61:738-748.",
    "Cochran 1957": "Cochran WG. Analysis of covariance: its nature and uses. Biometrics 1957;13:261-281.",
    "Cook 2018": "Cook JA, Julious SA, Sones W, et al. DELTA2 guidance on choosing the target difference and "
    "undertaking and reporting the sample size calculation for a randomised controlled trial. BMJ 2018;363:k3750.",
    "Dunnett 1955": "Dunnett CW. A multiple comparison procedure for comparing several treatments with a control. "
    "J Am Stat Assoc 1955;50:1096-1121.",
    "Egger 1997": "Egger M, Davey Smith G, Schneider M, Minder C. Bias in meta-analysis detected by a simple, "
    "graphical test. BMJ 1997;315:629-634.",
    "Higgins 2009": "Higgins JPT, Thompson SG, Spiegelhalter DJ. A re-evaluation of random-effects meta-analysis. "
    "J R Stat Soc A 2009;172:137-159.",
    "Hoeting 1999": "Hoeting JA, Madigan D, Raftery AE, Volinsky CT. Bayesian model averaging: a tutorial. Stat Sci "
    "1999;14:382-417.",
    "Hwang 1990": "Hwang IK, Shih WJ, De Cani JS. Group sequential designs using a family of type I error probability "
    "spending functions. Stat Med 1990;9:1439-1445.",
    "ICH E9(R1)": "International Council for Harmonisation. ICH E9(R1): addendum on estimands and sensitivity "
    "analysis in clinical trials. 2019.",
    "Jennison 2000": "Jennison C, Turnbull BW. Group sequential methods with applications to clinical trials. Boca "
    "Raton: Chapman & Hall/CRC; 2000.",
    "Kim 1987": "Kim K, DeMets DL. Design and analysis of group sequential tests based on the type I error spending "
    "rate function. Biometrika 1987;74:149-154.",
    "Lan 1983": "Lan KKG, DeMets DL. Discrete sequential boundaries for clinical trials. Biometrika 1983;70:659-663.",
    "Morris 2019": "Morris TP, White IR, Crowther MJ. Using simulation studies to evaluate statistical methods. Stat "
    "Med 2019;38:2074-2102.",
    "O'Brien 1979": "O'Brien PC, Fleming TR. A multiple testing procedure for clinical trials. Biometrics "
    "1979;35:549-556.",
    "O'Hagan 2005": "O'Hagan A, Stevens JW, Campbell MJ. Assurance in clinical trial design. Pharm Stat "
    "2005;4:187-201.",
    "Owen 1968": "Owen DB. A survey of properties and applications of the noncentral t-distribution. Technometrics "
    "1968;10:445-478.",
    "Pocock 1977": "Pocock SJ. Group sequential methods in the design and analysis of clinical trials. Biometrika "
    "1977;64:191-199.",
    "Roychoudhury 2018": "Roychoudhury S, Scheuer N, Neuenschwander B. Beyond p-values: a phase II dual-criterion "
    "design with statistical significance and clinical relevance. Clin Trials 2018;15:452-461.",
    "Russell 2000": "Russell DJ, Avery LM, Rosenbaum PL, Raina PS, Walter SD, Palisano RJ. Improved scaling of the "
    "gross motor function measure for children with cerebral palsy: evidence of reliability and validity. Phys Ther "
    "2000;80:873-885.",
    "Wang 1987": "Wang SK, Tsiatis AA. Approximately optimal one-parameter boundaries for group sequential trials. "
    "Biometrics 1987;43:193-199.",
    "Welch 1947": "Welch BL. The generalization of 'Student's' problem when several different population variances "
    "are involved. Biometrika 1947;34:28-35.",
    "Yao 2018": "Yao Y, Vehtari A, Simpson D, Gelman A. Using stacking to average Bayesian predictive distributions. "
    "Bayesian Anal 2018;13:917-1007.",
}
"""Each in full by author and year, as the text cites it."""


def cited_in(texts: list[str]) -> list[str]:
    """Return in full what a text cites, by author."""
    return [full for name, full in METHODS.items() if any(name in text for text in texts)]
